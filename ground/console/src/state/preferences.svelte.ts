// What the operator chose to see; kept in this browser.
const KEY = 'skywarden.preferences';

export type Theme = 'system' | 'light' | 'dark';
export type Sort = 'newest' | 'lastSeen' | 'strongest' | 'precise';
export type Overlay = 'footprints' | 'trails' | 'uncertainty' | 'tracks' | 'graticule' | 'labels';

const OVERLAYS: readonly Overlay[] = ['footprints', 'trails', 'uncertainty', 'tracks', 'graticule', 'labels'];

class Preferences {
  theme = $state<Theme>('system');
  sort = $state<Sort>('newest');
  dmsCursor = $state(false);
  overlays = $state<Record<Overlay, boolean>>({
    footprints: true,
    trails: true,
    uncertainty: true,
    tracks: true,
    graticule: true,
    labels: true,
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
    return this.theme === 'system' ? this.#systemDark : this.theme === 'dark';
  }

  cycleTheme(): void {
    this.theme = this.theme === 'system' ? (this.#systemDark ? 'light' : 'dark') : this.theme === 'dark' ? 'light' : 'dark';
    // Back at what the system says: follow the system again.
    if ((this.theme === 'dark') === this.#systemDark) this.theme = 'system';
    this.save();
  }

  save(): void {
    const { theme, sort, dmsCursor, overlays, hiddenLayers } = this;
    try {
      localStorage.setItem(KEY, JSON.stringify({ theme, sort, dmsCursor, overlays, hiddenLayers }));
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
    if (kept['theme'] === 'light' || kept['theme'] === 'dark') this.theme = kept['theme'];
    const sort = kept['sort'];
    if (sort === 'newest' || sort === 'lastSeen' || sort === 'strongest' || sort === 'precise') this.sort = sort;
    this.dmsCursor = kept['dmsCursor'] === true;
    const overlays = kept['overlays'] as Record<string, unknown> | undefined;
    for (const name of OVERLAYS) if (overlays?.[name] === false) this.overlays[name] = false;
    if (Array.isArray(kept['hiddenLayers'])) this.hiddenLayers = kept['hiddenLayers'].filter((name) => typeof name === 'string');
  }
}

export const preferences = new Preferences();
