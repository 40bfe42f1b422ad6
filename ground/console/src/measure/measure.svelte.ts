// What is being measured: points that a person set, and the place of the position card.
import type { LonLat } from '../api/types';

const MOST_POINTS = 500;

class Measure {
  isOn = $state(false);
  points = $state.raw<LonLat[]>([]);
  /** Whether the last point is joined with the first. */
  isClosed = $state(false);
  /** Where the position card points, and whether it is open. */
  spot = $state.raw<LonLat | null>(null);
  isCardOpen = $state(false);

  start(): void {
    this.isOn = true;
    this.clear();
  }

  stop(): void {
    this.isOn = false;
    this.clear();
  }

  clear(): void {
    this.points = [];
    this.isClosed = false;
  }

  add(point: LonLat): void {
    if (this.isClosed || this.points.length >= MOST_POINTS) return;
    const last = this.points.at(-1);
    if (last && last[0] === point[0] && last[1] === point[1]) return;
    this.points = [...this.points, point];
  }

  takeBack(): void {
    if (this.isClosed) this.isClosed = false;
    else this.points = this.points.slice(0, -1);
  }

  close(): void {
    if (this.points.length > 2) this.isClosed = !this.isClosed;
  }

  openCard(spot: LonLat): void {
    this.spot = spot;
    this.isCardOpen = true;
  }
}

export const measure = new Measure();
