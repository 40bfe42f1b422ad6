// The live feed: one long request for /api/v1/live that reconnects by itself and resumes where it stopped.
// Not EventSource: that one gives up for good after an HTTP error and never notices a link that fell silent.
import { EventStreamParser, type ServerEvent } from './sse';

/** The ground says something every 2 s; silence of this length means that the link is gone. */
const SILENCE_MS = 7_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

export interface LiveHandlers {
  onEvent(event: ServerEvent): void;
  /** Anything at all arrived from the ground. */
  onAlive(): void;
  onLost(): void;
  /** The ground asks who this is. */
  onRefused(): void;
}

export class LiveFeed {
  #lastId: string;
  #stopped = false;
  #attempt = 0;
  #request: AbortController | null = null;
  #wake: (() => void) | null = null;

  constructor(
    private readonly url: string,
    revision: number,
    private readonly handlers: LiveHandlers,
  ) {
    this.#lastId = String(revision);
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#request?.abort();
    this.#wake?.();
  }

  /** Do not wait for the next try: the network came back, or the operator asked. */
  retryNow(): void {
    this.#wake?.();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#readOnce();
      } catch {
        // Whatever went wrong, the remedy is the same: say so and try again.
      }
      if (this.#stopped) return;
      this.handlers.onLost();
      await this.#pause();
    }
  }

  async #readOnce(): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    let silence = setTimeout(() => request.abort(), SILENCE_MS);
    try {
      const response = await fetch(this.url, {
        headers: { Accept: 'text/event-stream', 'Last-Event-ID': this.#lastId },
        cache: 'no-store',
        signal: request.signal,
      });
      if (response.status === 401 || response.status === 403) this.handlers.onRefused();
      if (!response.ok || !response.body) throw new Error(`the live feed answered ${response.status}`);
      const parser = new EventStreamParser();
      parser.lastId = this.#lastId;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        clearTimeout(silence);
        silence = setTimeout(() => request.abort(), SILENCE_MS);
        this.#attempt = 0;
        this.handlers.onAlive();
        for (const event of parser.feed(piece.value)) this.handlers.onEvent(event);
        this.#lastId = parser.lastId;
      }
    } finally {
      clearTimeout(silence);
      request.abort();
    }
  }

  #pause(): Promise<void> {
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempt++);
    const wait = longest * (0.6 + 0.4 * Math.random());
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
