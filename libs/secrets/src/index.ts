export { readSecretKeys, SecretKeys, type SecretPlace } from './secret-keys.js';
