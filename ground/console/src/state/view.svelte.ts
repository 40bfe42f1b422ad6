// What the operator is looking at: selection, tab, search, the platform that the map follows.
export type Selection =
  | { kind: 'contact'; id: string }
  | { kind: 'track'; id: string }
  | { kind: 'platform'; id: string }
  | { kind: 'ais'; id: string }
  | { kind: 'plot'; id: string };

export type Tab = 'contacts' | 'platforms' | 'alerts' | 'ais';
export const TABS: readonly Tab[] = ['contacts', 'platforms', 'alerts', 'ais'];
/** What the tab of alerts shows. */
export type AlertShelf = 'alerts' | 'zones' | 'rules';

/** Wishes that the lists have about the map; the map registers itself here. */
export interface MapCommands {
  fit(): void;
  show(longitude: number, latitude: number): void;
  /** Brings a box of west, south, east, north into sight. */
  frame(box: [number, number, number, number]): void;
}

class View {
  tab = $state<Tab>('contacts');
  selection = $state.raw<Selection | null>(null);
  search = $state('');
  label = $state('');
  /** What AIS says of the contacts that the list shows; empty for all. */
  verdict = $state('');
  shelf = $state<AlertShelf>('alerts');
  /** What the map shows now: west, south, east, north. */
  bounds = $state.raw<[number, number, number, number] | null>(null);
  following = $state<string | null>(null);
  legendOpen = $state(false);
  keysOpen = $state(false);
  reviewing = $state(false);
  /** Monotonic ms, set once a second: what shows an age depends on this and nothing else. */
  beatMs = $state(performance.now());
  map: MapCommands | null = null;

  select(selection: Selection | null): void {
    this.selection = selection;
    if (selection?.kind === 'platform') this.tab = 'platforms';
  }

  isSelected(kind: Selection['kind'], id: string): boolean {
    return this.selection?.kind === kind && this.selection.id === id;
  }
}

export const view = new View();
