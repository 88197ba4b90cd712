import type { Redis } from 'ioredis';

type Argument = string | number;
type Command = (...args: Argument[]) => Promise<unknown>;

/** Scripts on a connection, which sends each text once. Their keys are computed: they are for one Redis, no cluster. */
export function defineScripts<const Name extends string>(
  redis: Pick<Redis, 'defineCommand'>,
  scripts: Readonly<Record<Name, string>>,
): Readonly<Record<Name, Command>> {
  const commands: Partial<Record<Name, Command>> = {};
  for (const [name, lua] of Object.entries(scripts) as [Name, string][]) {
    const command = `mayfly:${name}`;
    redis.defineCommand(command, { lua, numberOfKeys: 0 });
    const run = (redis as unknown as Record<string, Command>)[command] as Command;
    commands[name] = (...args) => run.apply(redis, args);
  }
  return commands as Record<Name, Command>;
}
