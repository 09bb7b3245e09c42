// Reads the card in the reader named on the command line with npm smartcard and writes what it found as JSON.
// The same commands as ../pcsc/read.py: the directory, its first application, and the records of ten files.
const { Devices } = require(process.env.TAPNET_SMARTCARD_MODULES + '/smartcard');

// find gives the value of a data object below others: [0x6F, 0xA5] is the A5 in the 6F.
function find(data, path) {
  for (let at = 0; at < data.length; ) {
    let tag = data[at++];
    if ((tag & 0x1f) === 0x1f) tag = (tag << 8) | data[at++];
    let length = data[at++];
    if (length & 0x80) {
      let count = length & 0x7f;
      for (length = 0; count > 0; count--) length = (length << 8) | data[at++];
    }
    const value = data.subarray(at, at + length);
    at += length;
    if (tag === path[0]) return path.length === 1 ? value : find(value, path.slice(1));
  }
  return undefined;
}

async function read(card) {
  const send = async (command) => {
    const answer = Buffer.from(await card.transmit(command));
    return { data: answer.subarray(0, -2), sw: answer.readUInt16BE(answer.length - 2) };
  };
  const select = async (name) => {
    const { data, sw } = await send([0x00, 0xa4, 0x04, 0x00, name.length, ...name, 0x00]);
    if (sw !== 0x9000) throw new Error(`SELECT ${Buffer.from(name).toString('hex')}: ${sw.toString(16)}`);
    return data;
  };
  const aid = find(await select(Buffer.from('2PAY.SYS.DDF01')), [0x6f, 0xa5, 0xbf0c, 0x61, 0x4f]);
  await select(aid);
  const records = [];
  for (let file = 1; file <= 10; file++) {
    for (let number = 1; number <= 8; number++) {
      const { data, sw } = await send([0x00, 0xb2, number, (file << 3) | 4, 0x00]);
      if (sw === 0x9000) records.push(data.toString('hex'));
    }
  }
  return { atr: Buffer.from(card.atr).toString('hex'), aid: aid.toString('hex'), records };
}

const devices = new Devices();
const readers = new Set();
devices.on('reader-attached', (reader) => readers.add(reader.name));
devices.on('error', (err) => {
  console.error(err);
  process.exit(1);
});
devices.on('card-inserted', async ({ reader, card }) => {
  if (reader.name !== process.argv[2]) return;
  try {
    const result = await read(card);
    console.log(JSON.stringify({ readers: [...readers], ...result }));
    process.exit(0);
  } catch (err) {
    console.error(err);
    process.exit(1);
  }
});
devices.start();
