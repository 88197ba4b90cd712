import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { generatedFiles } from './index.js';

const infra = path.resolve(import.meta.dirname, '../..');
for (const [name, text] of generatedFiles()) {
  const file = path.join(infra, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}
