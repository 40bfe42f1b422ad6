// The review: which cases are open, which one is before the eyes, and what was just decided.
import { ConflictError, decide, fetchReview, undo, type ReviewOf } from '../api/review';
import { chipUrl, fetchContact } from '../api/client';
import type { Contact, Decision, Sighting } from '../api/types';
import { text } from '../text';
import { account } from './account.svelte';
import { picture } from './picture.svelte';
import { view } from './view.svelte';

export type Shelf = 'open' | 'more' | 'decided';

/** One case as it was loaded; kept for the next few, so that they are there at once. */
interface Case {
  review: ReviewOf;
  sightings: Sighting[];
}

interface Done {
  contactId: string;
  number: number;
}

const AHEAD = 2;
const MOST_KEPT = 12;

function isOn(shelf: Shelf, contact: Contact): boolean {
  if (shelf === 'open') return contact.review === 'unreviewed';
  return shelf === 'more' ? contact.review === 'more' : contact.review === 'confirmed' || contact.review === 'rejected';
}

/** Mine first, then what was never judged before, then the strongest. What was rejected before comes last. */
function urgency(contact: Contact): number {
  const mine = contact.assignee !== null && contact.assignee === account.who?.account ? 4 : 0;
  const others = contact.assignee !== null && mine === 0 ? -2 : 0;
  return mine + others + (contact.review_was === 'rejected' ? -1 : 0) + contact.score;
}

class Reviewing {
  shelf = $state<Shelf>('open');
  /** Ids in the order in which they are shown: new cases are added at the end, so that nothing jumps. */
  queue = $state.raw<string[]>([]);
  currentId = $state<string | null>(null);
  /** The look before the eyes: it stays, whatever comes in meanwhile. */
  lookId = $state<string | null>(null);
  busy = $state(false);
  /** What went wrong or what somebody else has said; gone with the next case. */
  note = $state('');
  done = $state.raw<Done[]>([]);
  decidedCount = $state(0);
  review = $state.raw<ReviewOf | null>(null);
  sightings = $state.raw<Sighting[]>([]);
  /** Milliseconds from the key to the next case in full, for those who measure. */
  lastStepMs = $state(0);

  #cases = new Map<string, Promise<Case>>();
  #began = 0;

  readonly mayDecide = $derived(account.who?.permissions.includes('review') ?? false);
  readonly contact = $derived.by(() => (this.currentId === null ? null : (picture.contactList.find((one) => one.contact_id === this.currentId) ?? null)));
  readonly openCount = $derived(picture.contactList.filter((one) => one.review === 'unreviewed').length);
  readonly looks = $derived(this.sightings.filter((one) => one.chip_id !== null));
  readonly look = $derived(this.sightings.find((one) => one.sighting_id === this.lookId) ?? this.looks[0] ?? this.sightings[0] ?? null);
  readonly index = $derived(this.currentId === null ? -1 : this.queue.indexOf(this.currentId));

  open(contactId: string | null = null): void {
    view.reviewing = true;
    const contact = contactId === null ? undefined : picture.contacts.get(contactId);
    if (contact && !isOn(this.shelf, contact)) this.shelf = contact.review === 'unreviewed' ? 'open' : contact.review === 'more' ? 'more' : 'decided';
    this.note = '';
    this.refill(true);
    this.show(contactId ?? this.queue[0] ?? null);
  }

  close(): void {
    view.reviewing = false;
    this.#cases.clear();
  }

  choose(shelf: Shelf): void {
    this.shelf = shelf;
    this.refill(true);
    this.show(this.queue[0] ?? null);
  }

  /** Takes in what has come; those that are gone or done leave, the one before the eyes stays. */
  refill(anew = false): void {
    const wanted = picture.contactList.filter((one) => isOn(this.shelf, one)).sort((a, b) => urgency(b) - urgency(a) || (a.contact_id < b.contact_id ? -1 : 1));
    const ids = wanted.map((one) => one.contact_id);
    if (anew) {
      this.queue = ids;
      return;
    }
    const there = new Set(ids);
    const kept = this.queue.filter((id) => there.has(id) || id === this.currentId);
    const known = new Set(kept);
    const next = [...kept, ...ids.filter((id) => !known.has(id))];
    if (next.length !== this.queue.length || next.some((id, at) => id !== this.queue[at])) this.queue = next;
    if (this.currentId === null && next.length > 0) this.show(next[0] ?? null);
  }

  step(by: 1 | -1): void {
    const next = this.queue[Math.max(0, Math.min(this.queue.length - 1, this.index + by))];
    if (next !== undefined && next !== this.currentId) this.show(next);
  }

  nextLook(): void {
    const at = this.looks.findIndex((one) => one.sighting_id === this.lookId);
    this.lookId = this.looks[(at + 1) % this.looks.length]?.sighting_id ?? null;
  }

  show(contactId: string | null): void {
    if (contactId !== this.currentId) this.note = '';
    this.currentId = contactId;
    this.lookId = null;
    this.review = null;
    this.sightings = [];
    if (contactId === null) return;
    view.select({ kind: 'contact', id: contactId });
    void this.#load(contactId);
  }

  /** Loads the case before the eyes anew, as after somebody else's word. */
  async reload(): Promise<void> {
    if (this.currentId === null) return;
    this.#cases.delete(this.currentId);
    await this.#load(this.currentId);
  }

  take(review: ReviewOf): void {
    if (review.contactId === this.currentId) this.review = review;
    this.#cases.delete(review.contactId);
  }

  merge(sighting: Sighting): void {
    if (sighting.contact_id !== this.currentId) return;
    const all = new Map([sighting, ...this.sightings].map((one) => [one.sighting_id, one]));
    all.set(sighting.sighting_id, sighting);
    this.sightings = [...all.values()].sort((a, b) => Date.parse(b.time) - Date.parse(a.time)).slice(0, 200);
  }

  /** Decides about the case before the eyes and goes on to the next; `more` stays, so that the answer is seen. */
  async decide(decision: Decision, words = ''): Promise<boolean> {
    const [contact, review] = [this.contact, this.review];
    if (!contact || !review || this.busy || !this.mayDecide) return false;
    this.busy = true;
    this.#began = performance.now();
    try {
      const after = await decide(contact.contact_id, decision, review.version, contact.track_ids, words, account.who?.token ?? '');
      this.note = '';
      this.decidedCount += 1;
      if (after.decisionNumber !== null) this.done = [...this.done.slice(-49), { contactId: contact.contact_id, number: after.decisionNumber }];
      const next = this.queue[this.index + 1] ?? this.queue[this.index - 1] ?? null;
      this.take(after);
      if (decision !== 'more') {
        this.queue = this.shelf === 'decided' ? this.queue : this.queue.filter((id) => id !== contact.contact_id);
        this.show(this.shelf === 'decided' ? contact.contact_id : next);
      }
      return true;
    } catch (error) {
      if (error instanceof ConflictError) {
        if (error.current) this.take(error.current);
        else await this.reload();
      }
      this.note = (error instanceof Error && error.message) || text.reviewing.failed;
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** Takes the last decision of this page back and shows its case again. */
  async undoLast(): Promise<void> {
    const last = this.done.at(-1);
    if (!last || this.busy) return;
    this.busy = true;
    try {
      await undo(last.number, account.who?.token ?? '');
      this.done = this.done.slice(0, -1);
      this.decidedCount = Math.max(0, this.decidedCount - 1);
      this.#cases.delete(last.contactId);
      if (last.contactId !== '') {
        // Back where the work goes on, though its own news may have put it at the end meanwhile.
        const others = this.queue.filter((id) => id !== last.contactId);
        const at = Math.max(0, this.currentId === null ? 0 : others.indexOf(this.currentId));
        this.queue = [...others.slice(0, at), last.contactId, ...others.slice(at)];
        this.show(last.contactId);
      }
      this.note = text.reviewing.undone;
    } catch (error) {
      this.note = (error instanceof Error && error.message) || text.reviewing.failed;
    } finally {
      this.busy = false;
    }
  }

  noteBulk(number: number): void {
    this.done = [...this.done.slice(-49), { contactId: '', number }];
  }

  async #load(contactId: string): Promise<void> {
    try {
      const found = await this.#case(contactId);
      if (contactId !== this.currentId) return;
      this.review = found.review;
      this.sightings = found.sightings;
      this.lookId ??= this.#bestLook();
      if (this.#began > 0) {
        this.lastStepMs = Math.round(performance.now() - this.#began);
        this.#began = 0;
      }
      this.#prepare();
    } catch {
      this.#cases.delete(contactId);
      if (contactId === this.currentId) this.note = text.reviewing.failed;
    }
  }

  #bestLook(): string | null {
    const best = this.contact?.best_chip_id ?? null;
    return (this.looks.find((one) => one.chip_id === best) ?? this.looks[0])?.sighting_id ?? null;
  }

  /** The next cases are loaded while this one is looked at, images too. */
  #prepare(): void {
    for (const id of this.queue.slice(this.index + 1, this.index + 1 + AHEAD)) {
      void this.#case(id)
        .then((found) => {
          for (const one of found.sightings.slice(0, 4)) if (one.chip_id !== null) new Image().src = chipUrl(one.chip_id);
        })
        .catch(() => this.#cases.delete(id));
    }
    for (const id of [...this.#cases.keys()].slice(0, Math.max(0, this.#cases.size - MOST_KEPT))) this.#cases.delete(id);
  }

  #case(contactId: string): Promise<Case> {
    const version = picture.contacts.get(contactId)?.review_version ?? 0;
    const key = contactId;
    const known = this.#cases.get(key);
    const load = async (): Promise<Case> => {
      const [review, answer] = await Promise.all([fetchReview(contactId), fetchContact(contactId)]);
      return { review, sightings: answer.sightings };
    };
    if (!known) {
      const loading = load();
      this.#cases.set(key, loading);
      return loading;
    }
    // Loaded ahead, and somebody has said something since: look again.
    return known.then((found) => (found.review.version >= version ? found : load()));
  }
}

export const reviewing = new Reviewing();
