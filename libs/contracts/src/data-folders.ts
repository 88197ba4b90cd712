/** Folders below the data directory that gateway and worker share. */
export const DATA_FOLDERS = {
  /** The local blob store. */
  blobs: 'blobs',
  /** Unix sockets, while their owner runs. */
  run: 'run',
} as const;
