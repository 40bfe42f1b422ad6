// Whether the map shows the past, which moment, and how fast it plays; pieces are asked for once and kept.
import { picture } from '../state/picture.svelte';
import { view } from '../state/view.svelte';
import { fetchExtent, fetchSpan, type Extent, type Span } from './api';
import { fetchMarks, type PastMark } from './marks';
import { momentAt, type Moment } from './moment';

/** One piece; the piece before is needed too, for what was last known in it. */
export const PIECE_MS = 600_000;
const MOST_PIECES = 36;
const TICK_MS = 100;
export const SPEEDS = [1, 2, 5, 10, 30, 60] as const;
/** Lengths of the slider in seconds, with how far one press of an arrow key goes. */
export const WINDOWS: readonly [number, number][] = [[600, 1], [3_600, 1], [21_600, 10], [86_400, 60]];
export const BINS = 120;

class Past {
  isOn = $state(false);
  atMs = $state(0);
  isPlaying = $state(false);
  speed = $state<number>(10);
  windowS = $state(3_600);
  fromMs = $state(0);
  extent = $state.raw<Extent>({ firstMs: null, lastMs: null, activity: [] });
  isLoading = $state(false);
  hasFailed = $state(false);
  isCut = $state(false);
  /** Who did what when, within the slider. */
  marks = $state.raw<readonly PastMark[]>([]);
  /** The moment that the page's address asks for, UNIX ms. */
  readonly wantedMs = wantedMs();
  /** Counts up whenever a piece came: what is drawn must be drawn again. */
  arrived = $state(0);

  #pieces = new Map<number, Span>();
  #asked = new Set<number>();
  #timer: ReturnType<typeof setInterval> | null = null;
  #playedMs = 0;

  get toMs(): number {
    return this.fromMs + this.windowS * 1000;
  }

  /** Opens the past a minute ago, or at another moment. */
  open(atMs: number | null = null): void {
    const nowMs = picture.nowMs();
    this.isOn = true;
    if (atMs !== null) this.windowS = 600;
    this.fromMs = atMs === null ? nowMs - this.windowS * 1000 : Math.min(atMs - 60_000, nowMs - this.windowS * 1000);
    this.seek(atMs ?? nowMs - 60_000);
    this.#measure();
  }

  close(): void {
    this.pause();
    this.isOn = false;
    this.#pieces.clear();
    this.#asked.clear();
  }

  toggle(): void {
    if (this.isOn) this.close();
    else this.open();
  }

  /** Shows another moment; the slider follows when it lies outside of it. */
  seek(atMs: number): void {
    this.atMs = Math.max(0, Math.min(atMs, picture.nowMs()));
    if (this.atMs < this.fromMs || this.atMs > this.toMs) {
      this.fromMs = Math.min(this.atMs - this.windowS * 500, picture.nowMs() - this.windowS * 1000);
      this.#measure();
    }
    this.#need();
  }

  setWindow(seconds: number): void {
    this.windowS = seconds;
    this.fromMs = Math.min(this.atMs - seconds * 500, picture.nowMs() - seconds * 1000);
    this.#measure();
  }

  play(): void {
    if (this.isPlaying) return;
    this.isPlaying = true;
    this.#playedMs = performance.now();
    this.#timer = setInterval(() => this.#step(), TICK_MS);
  }

  pause(): void {
    this.isPlaying = false;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  moment(): Moment {
    const piece = Math.floor(this.atMs / PIECE_MS);
    const spans = [piece - 1, piece].map((number) => this.#pieces.get(number)).filter((one) => one !== undefined);
    return momentAt(spans, this.atMs);
  }

  #step(): void {
    const nowMs = performance.now();
    const elapsed = nowMs - this.#playedMs;
    this.#playedMs = nowMs;
    // Nothing is skipped while the ground still looks for the piece.
    if (!this.#pieces.has(Math.floor(this.atMs / PIECE_MS)) && !this.hasFailed) return;
    this.seek(this.atMs + elapsed * this.speed);
    if (this.atMs >= picture.nowMs() - 1000) this.pause();
  }

  #need(): void {
    const piece = Math.floor(this.atMs / PIECE_MS);
    for (const number of [piece, piece - 1, ...(this.isPlaying ? [piece + 1] : [])]) void this.#load(number);
  }

  async #load(piece: number): Promise<void> {
    const [fromMs, toMs] = [piece * PIECE_MS, (piece + 1) * PIECE_MS - 1];
    const nowMs = picture.nowMs();
    if (fromMs >= nowMs || this.#pieces.has(piece) || this.#asked.has(piece)) return;
    this.#asked.add(piece);
    this.isLoading = true;
    try {
      let span = await fetchSpan(fromMs, toMs, null);
      if (span.isCut && view.bounds) span = await fetchSpan(fromMs, toMs, view.bounds);
      if (!this.isOn) return;
      this.isCut = span.isCut;
      this.#pieces.set(piece, span);
      for (const old of [...this.#pieces.keys()].slice(0, Math.max(0, this.#pieces.size - MOST_PIECES))) this.#pieces.delete(old);
      this.hasFailed = false;
      this.arrived += 1;
      // What is still being written is asked for again.
      if (toMs > nowMs - 5_000) setTimeout(() => this.#pieces.delete(piece), 10_000);
    } catch {
      this.hasFailed = true;
    } finally {
      this.#asked.delete(piece);
      this.isLoading = this.#asked.size > 0;
    }
  }

  #measure(): void {
    const fromMs = this.fromMs;
    void fetchMarks(fromMs, Math.min(this.toMs, picture.nowMs() + 1000)).then(
      (found) => {
        if (fromMs === this.fromMs) this.marks = found;
      },
      () => (this.hasFailed = true),
    );
    void fetchExtent(fromMs, this.toMs, BINS).then(
      (found) => {
        if (fromMs === this.fromMs) this.extent = found;
      },
      () => (this.hasFailed = true),
    );
  }
}

/** `#...past=UNIX_MS`, as a replay of a watch writes it; read before signing in takes the address away. */
function wantedMs(): number | null {
  const match = /[#&]past=(\d{12,14})$/.exec(location.hash);
  return match ? Number(match[1]) : null;
}

export const past = new Past();
