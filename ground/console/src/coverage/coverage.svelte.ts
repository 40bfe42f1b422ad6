// Where cameras looked: what is asked for, what the ground answered, how it is coloured.
import { talk } from '../api/account';
import { number, text } from '../api/decode';
import { past } from '../past/past.svelte';
import { picture } from '../state/picture.svelte';
import { view } from '../state/view.svelte';

export type Shade = 'age' | 'sharpness';
/** Seconds. */
export const PERIODS = [3_600, 21_600, 86_400, 604_800, 2_592_000] as const;
/** Upper borders of the steps, strongest first; the last step has none. */
export const AGES_S = [600, 3_600, 21_600, 86_400] as const;
export const GSDS_M = [0.02, 0.05, 0.15, 0.5] as const;
export const STRENGTHS = [0.62, 0.48, 0.35, 0.24, 0.14] as const;

export interface Cells {
  west: number;
  south: number;
  stepLon: number;
  stepLat: number;
  column: number[];
  row: number[];
  lastS: number[];
  gsd: (number | null)[];
  isCut: boolean;
}

const MOST_CELLS = 260_000;

function column(raw: Record<string, unknown>, key: string): (number | null)[] {
  const found = raw[key];
  return Array.isArray(found) ? found.slice(0, MOST_CELLS).map((one) => number(one, 0, 4_102_444_800)) : [];
}

class CoverageBook {
  isOn = $state(false);
  periodS = $state<number>(86_400);
  shade = $state<Shade>('age');
  platformId = $state('');
  cells = $state.raw<Cells | null>(null);
  hasFailed = $state(false);
  #asked = 0;

  /** The moment that ages count back from. */
  get untilMs(): number {
    return past.isOn ? past.atMs : picture.nowMs();
  }

  async load(): Promise<void> {
    const box = view.bounds;
    if (!this.isOn || box === null) return;
    const mine = (this.#asked += 1);
    const untilMs = this.untilMs;
    const stamp = (at: number): string => new Date(at).toISOString();
    const who = this.platformId ? `&platform_id=${encodeURIComponent(this.platformId)}` : '';
    try {
      const raw = await talk('GET', `api/v1/coverage?bbox=${box.map((one) => one.toFixed(5)).join(',')}&since=${stamp(untilMs - this.periodS * 1000)}&until=${stamp(untilMs)}${who}`);
      if (mine !== this.#asked) return;
      this.cells = {
        west: number(raw['west'], -180, 180) ?? 0,
        south: number(raw['south'], -90, 90) ?? 0,
        stepLon: number(raw['step_lon_deg'], 1e-9, 360) ?? 1,
        stepLat: number(raw['step_lat_deg'], 1e-9, 180) ?? 1,
        column: column(raw, 'column').map((one) => one ?? 0),
        row: column(raw, 'row').map((one) => one ?? 0),
        lastS: column(raw, 'last_s').map((one) => one ?? 0),
        gsd: column(raw, 'gsd_m'),
        isCut: raw['is_cut'] === true,
      };
      this.hasFailed = false;
    } catch {
      if (mine === this.#asked) this.hasFailed = true;
    }
  }

  /** 0 (strongest) to 4 for one cell. */
  step(cells: Cells, index: number): number {
    const value = this.shade === 'age' ? this.untilMs / 1000 - (cells.lastS[index] ?? 0) : cells.gsd[index];
    if (value === null || value === undefined) return 4;
    const borders: readonly number[] = this.shade === 'age' ? AGES_S : GSDS_M;
    const found = borders.findIndex((border) => value <= border);
    return found < 0 ? 4 : found;
  }

  /** Platforms that can be asked for alone. */
  get platforms(): string[] {
    return picture.platformList.map((one) => text(one.platform_id, 140) ?? '').filter((one) => one !== '');
  }
}

export const coverage = new CoverageBook();
