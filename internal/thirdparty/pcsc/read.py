"""Reads the card in the reader named on the command line with pyscard and writes what it found as JSON.

The same commands as ../smartcard/read.js: the directory, its first application, and the records of ten files.
"""
import json
import sys

from smartcard.System import readers


def find(data, path):
    """The value of a data object below others: [0x6F, 0xA5] is the A5 in the 6F."""
    at = 0
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 0x1F == 0x1F:
            tag = tag << 8 | data[at]
            at += 1
        length = data[at]
        at += 1
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(bytes(data[at:at + count]), 'big')
            at += count
        value = data[at:at + length]
        at += length
        if tag == path[0]:
            return value if len(path) == 1 else find(value, path[1:])
    return None


wanted = sys.argv[1]
found = readers()
connection = next(r for r in found if str(r) == wanted).createConnection()
connection.connect()
result = {'readers': [str(r) for r in found], 'atr': bytes(connection.getATR()).hex(), 'records': []}


def send(command):
    data, sw1, sw2 = connection.transmit(command)
    return data, sw1 << 8 | sw2


def select(name):
    data, sw = send([0x00, 0xA4, 0x04, 0x00, len(name)] + list(name) + [0x00])
    if sw != 0x9000:
        sys.exit('SELECT %s: %04X' % (bytes(name).hex(), sw))
    return data


directory = select(b'2PAY.SYS.DDF01')
aid = find(directory, [0x6F, 0xA5, 0xBF0C, 0x61, 0x4F])
result['aid'] = bytes(aid).hex()
select(aid)
for file in range(1, 11):
    for number in range(1, 9):
        record, sw = send([0x00, 0xB2, number, file << 3 | 4, 0x00])
        if sw == 0x9000:
            result['records'].append(bytes(record).hex())
connection.disconnect()
print(json.dumps(result))
