// Keeps the picture alive: loads it whole, follows the live feed, loads it again when the feed says so.
import { address, fetchSnapshot, whenRefused } from '../api/client';
import { LiveFeed } from '../api/live';
import { account } from './account.svelte';
import type { Picture } from './picture.svelte';

const RETRY_MS = 2_000;
/** Whole loads are never closer together than this, whatever the feed demands. */
const SPACING_MS = 3_000;

export class Session {
  #feed: LiveFeed | null = null;
  #loading = false;
  #again = false;
  #wake: (() => void) | null = null;
  #stopped = false;
  #loadedMs = -Infinity;

  constructor(private readonly picture: Picture) {}

  start(): void {
    window.addEventListener('online', this.retryNow);
    whenRefused(() => void account.check());
    void this.#load();
  }

  stop(): void {
    this.#stopped = true;
    window.removeEventListener('online', this.retryNow);
    this.#feed?.stop();
    this.#wake?.();
  }

  readonly retryNow = (): void => {
    this.#wake?.();
    this.#feed?.retryNow();
  };

  /** Loads the whole picture until it succeeds; a request made meanwhile leads to one more load. */
  async #load(): Promise<void> {
    if (this.#loading) {
      this.#again = true;
      return;
    }
    this.#loading = true;
    do {
      this.#again = false;
      const early = SPACING_MS - (performance.now() - this.#loadedMs);
      if (early > 0) await this.#pause(early);
      try {
        const snapshot = await fetchSnapshot((newest) => this.picture.begin(newest));
        if (this.#stopped) return;
        this.#loadedMs = performance.now();
        this.picture.replace(snapshot);
        this.#follow(snapshot.status.revision);
      } catch {
        if (!this.#feed) this.picture.phase = this.picture.heardMs === null ? 'loading' : 'lost';
        await Promise.all([this.#pause(RETRY_MS), account.whenIn()]);
        this.#again = true;
      }
    } while (this.#again && !this.#stopped);
    this.#loading = false;
  }

  /** A fresh feed from the snapshot's revision: everything newer comes again, nothing is missed. */
  #follow(revision: number): void {
    this.#feed?.stop();
    const feed = new LiveFeed(address('api/v1/live'), revision, {
      onAlive: () => {
        this.picture.heard();
        this.picture.phase = 'live';
      },
      onRefused: () => void this.#signedOut(feed),
      onLost: () => {
        if (feed === this.#feed) this.picture.phase = 'lost';
      },
      onEvent: (event) => {
        if (feed === this.#feed && this.picture.apply(event)) void this.#load();
      },
    });
    this.#feed = feed;
    feed.start();
  }

  /** The session ended: nothing is asked until somebody signs in; then the picture is loaded whole. */
  async #signedOut(feed: LiveFeed): Promise<void> {
    if (feed !== this.#feed) return;
    feed.stop();
    this.picture.phase = 'lost';
    await account.check();
    await account.whenIn();
    if (!this.#stopped && feed === this.#feed) void this.#load();
  }

  #pause(forMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, forMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
