// Who sits here: asked at the start, and again whenever the ground refuses something.
import { askWho, lookAtCode, RefusedError, signIn, signOut, useCode, type Answer, type Who } from '../api/account';

export type AccountPhase = 'asking' | 'out' | 'in';

/** Somebody who touches the page keeps the session from falling idle; the ground is told so seldom. */
const TELL_EVERY_MS = 60_000;
const RETRY_MS = 2_000;

class Account {
  phase = $state<AccountPhase>('asking');
  who = $state.raw<Who | null>(null);
  /** The session ended while the picture was open. */
  hasExpired = $state(false);
  isNew = $state(false);
  /** A code from the address bar that is to set a password. */
  pendingCode = $state.raw<{ code: string; account: string } | null>(null);
  /** The code from the address bar was refused. */
  codeError = $state<RefusedError | null>(null);
  /** Counts sign-ins: what failed for want of a session is tried again. */
  epoch = $state(0);

  #toldMs = -Infinity;
  #waiting: (() => void)[] = [];

  readonly sees = $derived(this.who?.permissions.includes('see_picture') ?? false);

  /** Takes a one-time code out of the address bar and uses it; then asks who this is, until the ground answers. */
  async start(): Promise<void> {
    const code = takeCode();
    for (;;) {
      try {
        if (code && !this.codeError) {
          const found = await lookAtCode(code);
          if (!found.setsPassword) {
            this.#take(await useCode(code, null));
            return;
          }
          this.pendingCode = { code, account: found.account };
          this.phase = 'out';
          return;
        }
        this.#take(await askWho());
        return;
      } catch (error) {
        if (error instanceof RefusedError && code && !this.codeError) this.codeError = error;
        else await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async signIn(name: string, password: string): Promise<void> {
    this.#take(await signIn(name, password));
  }

  async useCode(code: string, password: string | null): Promise<void> {
    this.#take(await useCode(code, password));
    this.pendingCode = null;
  }

  /** True when the code was used; false when it waits for a password. */
  async tryCode(code: string): Promise<boolean> {
    const found = await lookAtCode(code);
    if (found.setsPassword) {
      this.pendingCode = { code, account: found.account };
      return false;
    }
    await this.useCode(code, null);
    return true;
  }

  async signOut(): Promise<void> {
    try {
      if (this.who) await signOut(this.who.token);
    } finally {
      location.reload();
    }
  }

  /** The ground refused something, or somebody is active: ask who this is. A ground that is silent changes nothing. */
  async check(): Promise<void> {
    try {
      this.#take(await askWho());
    } catch {
      // The link's own banner speaks of that.
    }
  }

  /** Somebody touched the page. */
  readonly active = (): void => {
    if (this.phase !== 'in' || performance.now() - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = performance.now();
    void this.check();
  };

  /** Resolves when somebody is signed in who may see the picture. */
  whenIn(): Promise<void> {
    return this.phase === 'in' && this.sees ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #take(answer: Answer): void {
    const before = this.who;
    this.isNew = answer.isNew;
    if (!answer.who) {
      this.hasExpired = before !== null;
      this.phase = 'out';
      return;
    }
    if (before && before.account !== answer.who.account) {
      // What the one before left open is not the next one's to see.
      location.reload();
      return;
    }
    const wasOut = this.phase !== 'in';
    this.who = answer.who;
    this.phase = 'in';
    this.hasExpired = false;
    this.codeError = null;
    if (wasOut) this.epoch += 1;
    if (!this.sees) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The code after # in the address, which is taken out of the address and of the history at once. */
function takeCode(): string | null {
  const match = /^#once=([0-9A-Za-z-]{8,40})(?:&past=\d{12,14})?$/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return match[1] ?? null;
}

export const account = new Account();
