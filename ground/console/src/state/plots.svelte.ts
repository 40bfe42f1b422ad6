// Plots as the map shows them, and the land that they are seen of again and again.
import { fetchPlots } from '../api/client';
import { fetchSites, type Site } from '../api/history';
import type { Plot } from '../api/types';

class Plots {
  list = $state.raw<Plot[]>([]);
  sites = $state.raw<Site[]>([]);

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
