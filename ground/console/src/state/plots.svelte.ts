// Plots as the map shows them, and the land that they are seen of again and again.
import { fetchPlots } from '../api/client';
import { fetchSites, type Site } from '../api/history';
import type { Plot } from '../api/types';
import { picture } from './picture.svelte';

class Plots {
  list = $state.raw<Plot[]>([]);
  sites = $state.raw<Site[]>([]);

  /** Those that nobody has decided about and that are part of no contact: no queue of contacts shows them. */
  readonly open = $derived.by(() => {
    const found = this.list.filter((plot) => plot.review === 'unreviewed');
    if (found.length === 0) return found;
    const held = new Set(picture.contactList.flatMap((contact) => contact.track_ids));
    return found.filter((plot) => !held.has(plot.plot_id));
  });

  async load(): Promise<void> {
    this.list = await fetchPlots();
  }

  async loadSites(): Promise<void> {
    this.sites = await fetchSites();
  }

  siteOf(plotId: string): Site | null {
    return this.sites.find((site) => site.visits.some((visit) => visit.plotId === plotId)) ?? null;
  }
}

export const plots = new Plots();
