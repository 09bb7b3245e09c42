"""Computes testdata/vectors/qck1.txt: masks, binding keys, device tags and ratchets with Python's hmac, by the written form of the encodings."""
import hashlib
import hmac
import struct


def text(b):
    return struct.pack(">H", len(b)) + b


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


TOKEN, DEVICE = b"tok-629998-1", b"device_A"
BASE = bytes(range(32))
PASSWORD = hashlib.sha256(b"a password verifier").digest()


def block(kind, want, **fields):
    print(f"kind: {kind}\nsource: constructed with Python's hmac through testdata/generate.py")
    for name, value in fields.items():
        print(f"{name}: {value.hex().upper() if isinstance(value, bytes) else value}")
    print(f"expect: {want.hex().upper()}\n")


print("# Formats of QCK-1. Written by testdata/generate.py; one vector a block.\n")
for cls in (0, 1, 2):
    bind = mac(BASE, text(b"QCK1-BIND"), text(DEVICE), text(TOKEN), bytes([cls]))
    block("bind", bind, base=BASE, device=DEVICE.decode(), token=TOKEN.decode(), cls=cls)
    for atc in (1, 0x1234):
        x = PASSWORD if cls == 2 else b""
        m = mac(bind, text(b"QCK1-MASK"), text(TOKEN), struct.pack(">H", atc), bytes([cls]), text(x))
        block("mask", m[:16], bind=bind, token=TOKEN.decode(), atc=f"{atc:04X}", cls=cls, password=PASSWORD)
        key = mac(bind, text(b"DT"), struct.pack(">H", atc))
        block("tagkey", key, bind=bind, atc=f"{atc:04X}")
        tag = mac(key, text(b"QCK1-DT"), text(TOKEN), struct.pack(">H", atc), bytes.fromhex("A1B2C3D4"), bytes.fromhex("000000001000"),
                  bytes.fromhex("0156"), bytes.fromhex("000102"), bytes([2, 5, 1, 9]), bytes.fromhex("04A7DD1945EFB1AD"))
        block("tag", tag[:7], key=key, token=TOKEN.decode(), atc=f"{atc:04X}")
nonce = bytes(range(16))
block("ratchet", mac(BASE, text(b"QCK1-RATCHET"), text(TOKEN), b"\x00\x00\x02", PASSWORD, nonce), base=BASE, token=TOKEN.decode(), bseq=2,
      current=PASSWORD, nonce=nonce)
