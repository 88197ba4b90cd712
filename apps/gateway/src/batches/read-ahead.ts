/**
 * Takes all that a source has, as it comes, and hands it on when it is asked for. A client that sends its whole body
 * before it reads the first answer would wait for ever for one that reads no further until answers are taken; so the
 * body, whose size is bounded, is read whatever becomes of the answers.
 */
export function readAhead<T>(source: AsyncIterable<T>): AsyncIterable<T> {
  const waiting: T[] = [];
  let isOver = false;
  let failure: { readonly error: unknown } | undefined;
  let wake: () => void = () => undefined;
  const read = async () => {
    try {
      for await (const item of source) {
        waiting.push(item);
        wake();
      }
    } catch (error) {
      failure = { error };
    }
    isOver = true;
    wake();
  };
  void read();
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const item = waiting.shift();
        if (item !== undefined) yield item;
        else if (failure) throw failure.error;
        else if (isOver) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}
