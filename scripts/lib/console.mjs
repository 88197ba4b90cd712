/** Output of the launcher: one line a step, the reason beside it. */
export function say(text) {
  process.stdout.write(`${text}\n`);
}

export class SetupError extends Error {}

/** Stops with advice instead of a stack trace: what is missing, and the command that mends it. */
export function fail(text) {
  throw new SetupError(text);
}

/** Runs a command's main function; a SetupError is printed alone, anything else with its stack. */
export async function main(run) {
  try {
    process.exitCode = (await run()) ?? 0;
  } catch (error) {
    process.stderr.write(`\n${error instanceof SetupError ? error.message : (error?.stack ?? error)}\n`);
    process.exitCode = 1;
  }
}
