// The heavy parts of the page, which come after the list: the map first, what opens on demand behind it.
// All of them come at once at the start and stay: a page is open for a whole watch, and by the evening the station may
// serve another build in which their files have other names.
import type HandOn from '../handon/HandOn.svelte';
import type LookDialog from '../looks/LookDialog.svelte';
import type MapView from '../map/MapView.svelte';
import type Review from '../review/Review.svelte';

const AGAIN_MS = 2_000;

class Parts {
  MapView = $state.raw<typeof MapView | null>(null);
  Review = $state.raw<typeof Review | null>(null);
  HandOn = $state.raw<typeof HandOn | null>(null);
  LookDialog = $state.raw<typeof LookDialog | null>(null);
  /** A part did not come; it is asked for again. */
  hasFailed = $state(false);

  async load(): Promise<void> {
    await this.#fetched(async () => (this.MapView = (await import('../map/MapView.svelte')).default));
    await this.#fetched(async () => (this.Review = (await import('../review/Review.svelte')).default));
    await this.#fetched(async () => (this.LookDialog = (await import('../looks/LookDialog.svelte')).default));
    await this.#fetched(async () => (this.HandOn = (await import('../handon/HandOn.svelte')).default));
  }

  async #fetched(part: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await part();
        this.hasFailed = false;
        return;
      } catch {
        this.hasFailed = true;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }
}

export const parts = new Parts();
