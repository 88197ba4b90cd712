/** Text that stops growing at a limit, so that a guest cannot fill the host's memory with it. */
export class CappedText {
  readonly #limit: number;
  #length = 0;
  readonly #pieces: string[] = [];

  /** @param limit in UTF-16 code units */
  constructor(limit: number) {
    this.#limit = limit;
  }

  append(text: string): void {
    const room = this.#limit - this.#length;
    if (room <= 0 || text === '') return;
    const piece = text.length <= room ? text : cutAt(text, room);
    this.#length += text.length <= room ? piece.length : room;
    this.#pieces.push(piece);
  }

  toString(): string {
    return this.#pieces.join('');
  }
}

/** Never leaves half a surrogate pair behind. */
function cutAt(text: string, length: number): string {
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length);
}
