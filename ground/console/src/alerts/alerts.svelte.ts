// The alerts that this page knows, which of them nobody on this screen has looked at, and what makes them heard.
import { account } from '../state/account.svelte';
import { picture } from '../state/picture.svelte';
import { view } from '../state/view.svelte';
import { text } from '../text';
import { actOn, decodeAlert, fetchAlert, fetchAlerts, SEVERITIES, type Alert, type Deed } from './api';
import { askPermit, permit, tellDesktop, type Permit } from './desktop';
import { Horn, type HornState } from './horn';

const KEY = 'skywarden.alerts';
const PAGE = 100;
const MOST = 1_000;
/** An urgent alert that nobody has acknowledged sounds again after so long. */
const AGAIN_MS = 20_000;
/** What comes with one load after a gap is news, but not a concert. */
const AT_ONCE = 1;

const rank = (alert: Alert): number => SEVERITIES.indexOf(alert.severity);

class AlertBook {
  items = $state.raw<Alert[]>([]);
  refused = $state(0);
  trouble = $state('');
  isLoading = $state(true);
  hasMore = $state(false);
  /** Alerts up to this key were on the screen, in the list. */
  seenKey = $state(0);
  isMuted = $state(false);
  wantsDesktop = $state(false);
  permit = $state<Permit>('none');
  horn = $state<HornState>('none');
  blown = $state(0);
  busyId = $state<string | null>(null);
  /** What went wrong with an alert, by its id. */
  notes = $state.raw<Record<string, string>>({});
  chosenId = $state<string | null>(null);

  readonly open = $derived(this.items.filter((one) => one.acknowledgedBy === null));
  readonly unseen = $derived(this.open.filter((one) => one.key > this.seenKey).length);
  readonly worst = $derived(this.open.reduce<Alert | null>((worst, one) => (worst === null || rank(one) > rank(worst) ? one : worst), null)?.severity ?? null);
  readonly mayAct = $derived(account.who?.permissions.includes('review') ?? false);
  readonly maySee = $derived(account.who?.permissions.includes('see_contacts') ?? false);

  #horn = new Horn(() => {
    this.horn = this.#horn.state;
    this.blown = this.#horn.blown;
  });
  #again: ReturnType<typeof setInterval> | null = null;
  #stops: (() => void)[] = [];
  #hasLoaded = false;

  start(): void {
    this.#read();
    this.permit = permit();
    this.horn = this.#horn.state;
    this.#stops = [picture.on('alert', (body) => this.#heard(body)), picture.onReload(() => void this.load())];
    this.#again = setInterval(() => this.#soundAgain(), AGAIN_MS);
    for (const hand of ['pointerdown', 'keydown'] as const) window.addEventListener(hand, this.#wake, { capture: true, passive: true });
    if (navigator.userActivation?.hasBeenActive) this.#wake();
  }

  stop(): void {
    for (const stop of this.#stops) stop();
    if (this.#again !== null) clearInterval(this.#again);
    for (const hand of ['pointerdown', 'keydown'] as const) window.removeEventListener(hand, this.#wake, { capture: true });
    void this.#horn.close();
  }

  readonly #wake = (): void => void this.#horn.wake();

  /** The newest page and all that is open; what came in a gap is heard like what comes live. */
  async load(): Promise<void> {
    if (!this.maySee) return;
    try {
      const [newest, open] = await Promise.all([fetchAlerts(PAGE), fetchAlerts(PAGE, null, true)]);
      const known = new Set(this.items.map((one) => one.alertId));
      const fresh = newest.alerts.filter((one) => !known.has(one.alertId));
      this.refused = newest.refused;
      // Another station, or one that began anew: its keys begin anew too.
      if ((newest.alerts[0]?.key ?? 0) < this.seenKey) this.seenKey = 0;
      this.hasMore = newest.alerts.length === PAGE;
      this.#merge([...newest.alerts, ...open.alerts]);
      if (this.#hasLoaded) for (const one of fresh.filter((alert) => alert.sounds).slice(0, AT_ONCE)) this.#announce(one);
      this.#hasLoaded = true;
      this.trouble = '';
    } catch {
      this.trouble = text.watch.alerts.failed;
    } finally {
      this.isLoading = false;
    }
  }

  async loadOlder(): Promise<void> {
    const oldest = this.items.at(-1);
    if (!oldest) return;
    try {
      const page = await fetchAlerts(PAGE, oldest.key);
      this.hasMore = page.alerts.length === PAGE && this.items.length < MOST;
      this.#merge(page.alerts);
    } catch {
      this.trouble = text.watch.alerts.failed;
    }
  }

  /** The list is before the eyes: all that is in it was seen. */
  markSeen(): void {
    const newest = this.items[0]?.key ?? 0;
    if (newest <= this.seenKey) return;
    this.seenKey = newest;
    this.save();
  }

  async act(alertId: string, deed: Deed, words = ''): Promise<boolean> {
    if (this.busyId !== null) return false;
    this.busyId = alertId;
    try {
      this.#merge([await actOn(alertId, deed, words, account.who?.token ?? '')]);
      this.#note(alertId, '');
      return true;
    } catch (error) {
      this.#note(alertId, (error instanceof Error && error.message) || text.watch.alerts.actFailed);
      // Somebody was first: show their word.
      await fetchAlert(alertId).then((alert) => this.#merge([alert])).catch(() => undefined);
      return false;
    } finally {
      this.busyId = null;
    }
  }

  /** Opens the list at an alert, and shows the contact on the map. */
  show(alert: Alert): void {
    this.chosenId = alert.alertId;
    view.select({ kind: 'contact', id: alert.contactId });
    if (alert.place) view.map?.show(alert.place[0], alert.place[1]);
  }

  setMuted(isMuted: boolean): void {
    this.isMuted = isMuted;
    this.save();
    if (!isMuted) void this.#horn.wake();
  }

  /** Sounds once, so that one knows what it is like, and that it is heard. */
  async test(): Promise<void> {
    await this.#horn.wake();
    this.#horn.blow('warning');
  }

  /** Only ever called by a click. */
  async switchDesktop(): Promise<void> {
    if (this.wantsDesktop) this.wantsDesktop = false;
    else {
      this.permit = await askPermit();
      this.wantsDesktop = this.permit === 'granted';
    }
    this.save();
  }

  #heard(body: unknown): void {
    const alert = decodeAlert(body);
    if (!alert) {
      this.refused += 1;
      return;
    }
    const known = this.items.find((one) => one.alertId === alert.alertId);
    this.#merge([alert]);
    const isLouder = known !== undefined && rank(alert) > rank(known);
    if (known === undefined || isLouder) this.#announce(alert);
  }

  #announce(alert: Alert): void {
    if (!alert.sounds) return;
    if (!this.isMuted) this.#horn.blow(alert.severity);
    if (this.wantsDesktop) tellDesktop(alert, () => this.#openFromDesktop(alert));
  }

  #openFromDesktop(alert: Alert): void {
    view.tab = 'alerts';
    this.show(alert);
  }

  #soundAgain(): void {
    if (!this.isMuted && this.open.some((one) => one.sounds && one.severity === 'urgent')) this.#horn.blow('urgent');
  }

  #merge(more: Alert[]): void {
    const all = new Map(this.items.map((one) => [one.alertId, one]));
    for (const one of more) {
      const before = all.get(one.alertId);
      // An answer and the feed may cross: the one that knows more acts is the later one.
      if (!before || one.acts.length >= before.acts.length) all.set(one.alertId, one);
    }
    this.items = [...all.values()].sort((a, b) => b.key - a.key).slice(0, MOST);
  }

  #note(alertId: string, words: string): void {
    this.notes = { ...this.notes, [alertId]: words };
  }

  save(): void {
    const kept = { isMuted: this.isMuted, wantsDesktop: this.wantsDesktop, seen: this.seenKey, account: account.who?.account ?? '' };
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Private windows may refuse storage; the choice then lasts until the page closes.
    }
  }

  #read(): void {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Record<string, unknown>;
      this.isMuted = kept['isMuted'] === true;
      this.wantsDesktop = kept['wantsDesktop'] === true && permit() === 'granted';
      const isMine = kept['account'] === (account.who?.account ?? '');
      if (isMine && typeof kept['seen'] === 'number') this.seenKey = kept['seen'];
    } catch {
      return;
    }
  }
}

export const alertBook = new AlertBook();
