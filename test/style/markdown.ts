import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** Text of a file of the project, by its path below the root. */
export const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

/** Cells of every table row whose first cell is one `word` in backquotes that matches. */
export function rowsOf(markdown: string, first: RegExp): string[][] {
  return markdown
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.slice(1, -1).split('|'))
    .map((cells) => cells.map((cell) => cell.trim().replace(/^`([^`]+)`$/, '$1')))
    .filter(([name = '']) => first.test(name));
}
