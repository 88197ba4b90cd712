import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const guests = fileURLToPath(new URL('../..', import.meta.url));
/** Kept between runs, and by `make clean`. */
const targetFolder = fileURLToPath(new URL('../../../node_modules/.mayfly/rust', import.meta.url));

const FETCH_TIMEOUT_MS = 120_000;
/** Some hundred crates' worth of code at opt-level 3, on a busy machine. */
export const RUST_BUILD_TIMEOUT_MS = 600_000;

/** Ends the titles of tests that may be skipped where there is no Rust toolchain (scripts/test.mjs). */
export const NEEDS_CARGO = '(needs cargo)';

/** Why the Rust example cannot be built on this machine; empty where it can. Fetches its crates. */
export function rustReason(): string {
  try {
    const library = execFileSync('rustc', ['--print', 'target-libdir', '--target', 'x86_64-unknown-none'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    if (!existsSync(library.trim())) return 'the target x86_64-unknown-none is not installed';
  } catch {
    return 'there is no rustc';
  }
  try {
    execFileSync('make', ['-C', guests, 'rust-fetch'], { stdio: 'pipe', timeout: FETCH_TIMEOUT_MS });
    return '';
  } catch {
    return 'its crates cannot be fetched';
  }
}

/** Builds both binaries, from what was fetched. @throws with the compiler's words when it does not build. */
export function buildRust(): void {
  execFileSync('make', ['-C', guests, 'rust', `RUST_TARGET_DIR=${targetFolder}`], {
    stdio: 'pipe',
    timeout: RUST_BUILD_TIMEOUT_MS,
  });
}

export function rustBinary(name: 'rust-example' | 'rust-traced'): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(`${guests}/build/rust/${name}.elf`));
}

export function rustManifest(): unknown {
  return JSON.parse(readFileSync(`${guests}/rust-example/manifest.json`, 'utf8'));
}
