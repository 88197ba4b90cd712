import { mutateBytes } from './byte-mutation.js';
import type { Random } from './random.js';

const STRANGERS: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  0.5,
  1e308,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  '',
  'a',
  '\0',
  '__proto__',
  'constructor',
  '\ud800',
  '../../etc/passwd',
  'NaN',
  '18446744073709551616',
  'A'.repeat(5000),
  [],
  [[]],
  {},
  { length: 1 },
  { toString: 1 },
];
const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'length',
  '',
  '\0',
  'a/b~c',
  'kind',
  'type',
  'v',
  'memory',
];

/** A changed copy of a JSON document: mostly in its structure, seldom in its bytes. */
export function mutateJson(
  input: Uint8Array,
  other: Uint8Array,
  random: Random,
  maxBytes: number,
): Uint8Array {
  const document = parse(input);
  if (document === undefined || random.chance(16)) return mutateBytes(input, other, random, maxBytes);
  const donor = parse(other);
  let changed = document.value;
  for (let steps = 1 + random.below(4); steps > 0; steps--)
    changed = change(changed, donor?.value, random, 0);
  return new TextEncoder().encode(JSON.stringify(changed)).subarray(0, maxBytes);
}

function parse(bytes: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(Buffer.from(bytes).toString('utf8')) };
  } catch {
    return undefined;
  }
}

/** Changes one place, which is deeper the more there is below. */
function change(value: unknown, donor: unknown, random: Random, depth: number): unknown {
  const isBranch = typeof value === 'object' && value !== null;
  if (!isBranch || depth > 8 || random.chance(6)) return replaced(value, donor, random);
  const entries = Object.entries(value);
  const chosen = random.below(entries.length);
  switch (random.below(6)) {
    case 0:
      entries.splice(chosen, 1);
      break;
    case 1:
      entries.push([random.pick(NAMES), random.pick(STRANGERS)]);
      break;
    case 2:
      if (entries.length > 0) entries.push(...entries.slice(0, 1 + random.below(40)));
      break;
    default: {
      const entry = entries[chosen];
      if (entry) entries[chosen] = [entry[0], change(entry[1], donor, random, depth + 1)];
    }
  }
  // As JSON.parse does it: `__proto__` becomes a field of its own.
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

function replaced(value: unknown, donor: unknown, random: Random): unknown {
  if (typeof value === 'number' && random.chance(2))
    return value + random.pick([-1, 1, 0.5, 2 ** 40, -(2 ** 33)]);
  if (typeof value === 'string' && random.chance(2)) {
    const at = random.below(value.length + 1);
    return (
      value.slice(0, at) +
      random.pick(['', '\0', '"', 'é', '\ud83d', '0', ' ', '='.repeat(200)]) +
      value.slice(at + 1)
    );
  }
  return random.chance(5) && donor !== undefined ? donor : random.pick(STRANGERS);
}
