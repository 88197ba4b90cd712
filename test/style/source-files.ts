import { execFileSync } from 'node:child_process';
import { root } from './markdown.js';

/** Files of the project that git knows or would take, below the root. */
export function sourceFiles(...patterns: string[]): string[] {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--', ...patterns], {
    cwd: root,
    encoding: 'utf8',
  });
  return files.split('\n').filter((file) => file !== '');
}
