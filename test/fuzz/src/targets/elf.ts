import { checkElf } from '@mayfly/hypervisor/elf';
import { loadElf } from '../../../../libs/hypervisor/dist/elf/load.js';
import { type FuzzTarget, must } from '../target.js';

const LOAD_ADDRESS = 0x20_0000;

/** An uploaded file: what is accepted is loaded, and every store of it must lie inside of the image. */
export const elfTarget: FuzzTarget = {
  name: 'elf',
  format: 'bytes',
  run: (input) => {
    const image = checkElf(input);
    must(image.entry < image.imageBytes, 'the entry point is outside of the image');
    let storedBytes = 0;
    for (const { address, bytes } of loadElf(image, LOAD_ADDRESS)) {
      const offset = address - LOAD_ADDRESS;
      must(offset >= 0 && offset + bytes.byteLength <= image.imageBytes, 'a store is outside of the image');
      storedBytes += bytes.byteLength;
    }
    must(storedBytes <= input.byteLength, 'more bytes are stored than the file has');
    return `image of ${image.segments.length} segments, ${Math.min(9, image.relocations?.count ?? 0)} relocations`;
  },
};
