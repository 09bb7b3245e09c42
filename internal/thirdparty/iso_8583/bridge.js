// Reads a JSON array of jobs from standard input and writes their results as a JSON array.
//   {"pack": {"0": "0800", "7": …}}  →  {"hex": …}      the message without a length header
//   {"unpack": "30383030…"}          →  {"fields": {…}}  binary fields as hexadecimal text
// The package knows the international fields; the formats below are those of the switch dialect where they differ.
const iso8583 = require(process.env.TAPNET_NODE_MODULES + '/iso_8583');

const fixed = (type, length) => ({ ContentType: type, Label: 'switch dialect', LenType: 'fixed', MaxLen: length });
const formats = {
  49: fixed('an', 3),
  53: fixed('n', 16),
  90: fixed('n', 42),
  96: fixed('b', 16),
  128: fixed('b', 16),
};

function run(job) {
  if (job.pack) {
    const message = new iso8583(job.pack, formats);
    const packed = message.getRawMessage();
    return Buffer.isBuffer(packed) ? { hex: packed.toString('hex') } : { error: JSON.stringify(packed) };
  }
  const fields = new iso8583({}, formats).getIsoJSON(Buffer.from(job.unpack, 'hex'), { lenHeader: false });
  return fields.error ? { error: JSON.stringify(fields) } : { fields };
}

let input = '';
process.stdin.on('data', (chunk) => (input += chunk));
process.stdin.on('end', () => process.stdout.write(JSON.stringify(JSON.parse(input).map(run))));
