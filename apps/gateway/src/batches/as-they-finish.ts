/**
 * Runs a task for each item of a source, at most `atOnce` at a time, and yields what they answer as they finish. The
 * source is read only as far as there is room; who stops reading stops it, too.
 * @param run never rejects
 */
export async function* asTheyFinish<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  atOnce: number,
  run: (item: T, index: number) => Promise<R>,
): AsyncGenerator<R> {
  const iterator = iteratorOf(source);
  const running = new Set<Promise<() => R | undefined>>();
  let next: Promise<() => undefined> | undefined;
  let isOver = false;
  let index = 0;
  const readNext = (): Promise<() => undefined> =>
    Promise.resolve(iterator.next()).then((read) => () => {
      next = undefined;
      if (read.done === true) {
        isOver = true;
        return undefined;
      }
      const task: Promise<() => R> = run(read.value, index).then((answer) => () => {
        running.delete(task);
        return answer;
      });
      index += 1;
      running.add(task);
      return undefined;
    });
  try {
    while (!isOver || running.size > 0) {
      if (!isOver && running.size < atOnce) next ??= readNext();
      const settled = await Promise.race([...running, ...(next === undefined ? [] : [next])]);
      const answer = settled();
      if (answer !== undefined) yield answer;
    }
  } finally {
    await iterator.return?.();
  }
}

function iteratorOf<T>(source: AsyncIterable<T> | Iterable<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}
