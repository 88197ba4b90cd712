import { main } from './lib/console.mjs';
import { build } from './lib/setup.mjs';

await main(build);
