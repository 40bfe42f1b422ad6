// What the operator chose to see; kept in this browser.
import { NOTATIONS } from '../format/position';
import type { Written } from '../format/reading';

const KEY = 'skywarden.preferences';

export type Theme = 'system' | 'light' | 'dark' | 'night';
export type Sort = 'newest' | 'lastSeen' | 'strongest' | 'precise';
export type Overlay = 'plots' | 'footprints' | 'trails' | 'uncertainty' | 'tracks' | 'graticule' | 'labels' | 'zones' | 'ais' | 'places';

const OVERLAYS: readonly Overlay[] = ['plots', 'footprints', 'trails', 'uncertainty', 'tracks', 'graticule', 'labels', 'zones', 'ais', 'places'];

class Preferences {
  theme = $state<Theme>('system');
  sort = $state<Sort>('newest');
  /** How positions are written on the map. */
  notation = $state<Written>('decimal');
  overlays = $state<Record<Overlay, boolean>>({
    plots: true,
    footprints: true,
    trails: true,
    uncertainty: true,
    tracks: true,
    graticule: true,
    labels: true,
    zones: true,
    ais: true,
    places: false,
  });
  hiddenLayers = $state<string[]>([]);
  #systemDark = $state(false);

  constructor() {
    this.#read();
    const system = matchMedia('(prefers-color-scheme: dark)');
    this.#systemDark = system.matches;
    system.addEventListener('change', (event) => (this.#systemDark = event.matches));
  }

  get isDark(): boolean {
    return this.theme === 'system' ? this.#systemDark : this.theme !== 'light';
  }

  cycleTheme(): void {
    // All four in turn; what the system asks for anyway comes last, so that the first press is seen.
    const order: Theme[] = this.#systemDark ? ['system', 'light', 'night', 'dark'] : ['system', 'dark', 'night', 'light'];
    const at = order.indexOf(this.theme);
    this.theme = order[(at + 1) % order.length] ?? 'system';
    this.save();
  }

  save(): void {
    const { theme, sort, notation, overlays, hiddenLayers } = this;
    try {
      localStorage.setItem(KEY, JSON.stringify({ theme, sort, notation, overlays, hiddenLayers }));
    } catch {
      // Private windows may refuse storage; the choice then lasts until the page closes.
    }
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }

  #read(): void {
    let kept: Record<string, unknown>;
    try {
      kept = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Record<string, unknown>;
    } catch {
      return;
    }
    if (kept['theme'] === 'light' || kept['theme'] === 'dark' || kept['theme'] === 'night') this.theme = kept['theme'];
    const sort = kept['sort'];
    if (sort === 'newest' || sort === 'lastSeen' || sort === 'strongest' || sort === 'precise') this.sort = sort;
    this.notation = NOTATIONS.find((one) => one === kept['notation']) ?? (kept['dmsCursor'] === true ? 'dms' : 'decimal');
    const overlays = kept['overlays'] as Record<string, unknown> | undefined;
    for (const name of OVERLAYS) if (typeof overlays?.[name] === 'boolean') this.overlays[name] = overlays[name];
    if (Array.isArray(kept['hiddenLayers'])) this.hiddenLayers = kept['hiddenLayers'].filter((name) => typeof name === 'string');
  }
}

export const preferences = new Preferences();
