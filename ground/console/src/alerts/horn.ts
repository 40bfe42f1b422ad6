// The sound of an alert: made by WebAudio, no file, and only after the page may sound (browsers ask for a click first).
import type { Severity } from './api';

/** One tone: when it begins, how long it lasts, in seconds; its pitch in hertz. */
interface Tone {
  at: number;
  lasts: number;
  hz: number;
}

/** Told apart by number and by pitch: one low tone, a rising pair twice, a fast high triple twice. */
export const TONES: Record<Severity, readonly Tone[]> = {
  notice: [{ at: 0, lasts: 0.22, hz: 523 }],
  warning: [0, 0.55].flatMap((start) => [
    { at: start, lasts: 0.16, hz: 587 },
    { at: start + 0.2, lasts: 0.2, hz: 784 },
  ]),
  urgent: [0, 0.75].flatMap((start) => [0, 0.17, 0.34].map((step) => ({ at: start + step, lasts: 0.12, hz: 988 }))),
};

const LOUDNESS: Record<Severity, number> = { notice: 0.12, warning: 0.22, urgent: 0.32 };
const RAMP_S = 0.012;

export type HornState = 'waiting' | 'ready' | 'none';

export class Horn {
  #context: AudioContext | null = null;
  #onChange: () => void;
  /** How often something was sounded, for those who watch. */
  blown = 0;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** waiting: the browser lets no page sound before somebody has touched it. */
  get state(): HornState {
    if (typeof AudioContext === 'undefined') return 'none';
    return this.#context?.state === 'running' ? 'ready' : 'waiting';
  }

  /** Call this in the handler of a click or a key: only then may a page begin to sound. */
  async wake(): Promise<void> {
    if (this.state !== 'waiting') return;
    try {
      if (!this.#context) {
        this.#context = new AudioContext({ latencyHint: 'interactive' });
        this.#context.onstatechange = () => this.#onChange();
      }
      if (this.#context.state !== 'running') await this.#context.resume();
    } catch {
      // No sound device: the list and its count say the same.
    }
    this.#onChange();
  }

  /** True when it could be heard. */
  blow(severity: Severity): boolean {
    const context = this.#context;
    if (!context || context.state !== 'running') return false;
    const begin = context.currentTime + 0.03;
    for (const tone of TONES[severity]) sound(context, tone, begin, LOUDNESS[severity]);
    this.blown += 1;
    this.#onChange();
    return true;
  }

  async close(): Promise<void> {
    const context = this.#context;
    this.#context = null;
    await context?.close().catch(() => undefined);
  }
}

function sound(context: AudioContext, tone: Tone, begin: number, loudness: number): void {
  const [from, until] = [begin + tone.at, begin + tone.at + tone.lasts];
  const pipe = context.createOscillator();
  const valve = context.createGain();
  pipe.type = 'triangle';
  pipe.frequency.value = tone.hz;
  valve.gain.setValueAtTime(0, from);
  valve.gain.linearRampToValueAtTime(loudness, from + RAMP_S);
  valve.gain.setValueAtTime(loudness, until - RAMP_S);
  valve.gain.linearRampToValueAtTime(0, until);
  pipe.connect(valve).connect(context.destination);
  pipe.start(from);
  pipe.stop(until + 0.02);
}
