/** The smallest file that the ELF check takes: one PT_LOAD at address 0, padded to `lengthBytes`. */
export function tinyElf(lengthBytes = 256, fill = 0): Buffer {
  const elf = Buffer.alloc(lengthBytes, fill);
  elf.fill(0, 0, 120);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  elf.writeUInt16LE(3, 16);
  elf.writeUInt16LE(62, 18);
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(128n, 24);
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt16LE(64, 52);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(1, 64);
  elf.writeUInt32LE(5, 68);
  elf.writeBigUInt64LE(BigInt(lengthBytes), 64 + 32);
  elf.writeBigUInt64LE(BigInt(lengthBytes), 64 + 40);
  return elf;
}
