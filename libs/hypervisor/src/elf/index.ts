export { checkElf } from './check.js';
export type { ElfImage, ElfSegment, RelocationTable } from './elf-image.js';
