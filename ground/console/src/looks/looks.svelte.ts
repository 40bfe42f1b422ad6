// The latest picture of every camera and the live views that were asked for, as this page last heard.
import { picture } from '../state/picture.svelte';
import { decodeLook, fetchLooks, type LiveRequest, type Look } from './api';

const LOOK_AGAIN_MS = 2_000;
/** A request that came to nothing is told of for so long. */
const TOLD_MS = 30_000;
const RATE_OVER_MS = 10_000;
/** Seconds: from then on a picture is said to be old, loudly; before, from the first on, it only says its age. */
export const AGEING_S = 15;
export const OLD_S = 60;

class LookBook {
  looks = $state.raw<readonly Look[]>([]);
  live = $state.raw<readonly LiveRequest[]>([]);
  /** The picture that is shown large: platform and camera. */
  open = $state.raw<{ platformId: string; sensorId: string } | null>(null);
  #arrivals = new Map<string, number[]>();
  #ends: (() => void)[] = [];

  start(): void {
    const timer = setInterval(() => this.live.some((one) => this.isOpen(one)) && void this.load(), LOOK_AGAIN_MS);
    this.#ends = [picture.on('look', (body) => this.#take(body)), picture.onReload(() => void this.load()), () => clearInterval(timer)];
  }

  stop(): void {
    for (const end of this.#ends) end();
  }

  async load(): Promise<void> {
    try {
      const found = await fetchLooks();
      this.live = found.live;
      const newer = new Map(found.looks.map((one) => [key(one), one]));
      for (const one of this.looks) if ((newer.get(key(one))?.takenMs ?? Infinity) < one.takenMs) newer.set(key(one), one);
      this.looks = [...newer.values()];
    } catch {
      // The picture as a whole says when the ground is not heard.
    }
  }

  of(platformId: string): Look[] {
    return this.looks.filter((one) => one.platformId === platformId).sort((a, b) => (a.sensorId < b.sensorId ? -1 : 1));
  }

  /** The live view of a platform that is in force or asked for; else one that lately came to nothing. */
  request(platformId: string): LiveRequest | null {
    const own = this.live.filter((one) => one.platformId === platformId && one.perSecond > 0);
    const isNews = (one: LiveRequest): boolean => picture.nowMs() - Math.max(one.askedMs, Math.min(one.expiresMs, picture.nowMs())) < TOLD_MS;
    return own.find((one) => this.isOpen(one)) ?? own.slice(0, 1).find((one) => (one.state === 'refused' || one.state === 'expired') && isNews(one)) ?? null;
  }

  isOpen(one: LiveRequest): boolean {
    return (one.state === 'waiting' || one.state === 'accepted') && one.perSecond > 0 && one.expiresMs > picture.nowMs();
  }

  /** Pictures a second that came of a platform in the last seconds. */
  rate(platformId: string): number {
    const since = performance.now() - RATE_OVER_MS;
    return (this.#arrivals.get(platformId) ?? []).filter((at) => at > since).length / (RATE_OVER_MS / 1000);
  }

  #take(body: unknown): void {
    const look = decodeLook(body);
    if (!look) return;
    const since = performance.now() - RATE_OVER_MS;
    this.#arrivals.set(look.platformId, [...(this.#arrivals.get(look.platformId) ?? []).filter((at) => at > since), performance.now()]);
    this.looks = [...this.looks.filter((one) => key(one) !== key(look)), look];
    // Somebody else may have asked.
    if (look.isLive && !this.live.some((one) => one.platformId === look.platformId && this.isOpen(one))) void this.load();
  }
}

function key(look: Look): string {
  return `${look.platformId}/${look.sensorId}`;
}

export const looks = new LookBook();
