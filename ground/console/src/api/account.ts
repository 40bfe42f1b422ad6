// Asks the ground who is signed in, and signs in and out.
import { address } from './client';

const LIMIT_MS = 15_000;

export interface Who {
  account: string;
  role: string;
  permissions: string[];
  /** Goes back with everything that changes something: proof that a page of this station asks. */
  token: string;
  expires: string;
}

export interface Answer {
  who: Who | null;
  /** No administrator has a password yet. */
  isNew: boolean;
}

/** The ground said no; `waitS` when it is to be asked again only later. */
export class RefusedError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly waitS: number,
  ) {
    super(message);
  }
}

/** As `fetch`, but an answer that never came is an error without words: each place has its own, in the reader's language. */
export async function reach(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(address(path), init);
  } catch {
    throw new Error('');
  }
}

/** One exchange with the ground; raises `RefusedError` when it says no. */
export async function talk(method: string, path: string, body?: object, token?: string): Promise<Record<string, unknown>> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body) headers['Content-Type'] = 'application/json';
  if (token) headers['X-Skywarden-Token'] = token;
  const response = await reach(path, {
    method,
    headers,
    body: body ? JSON.stringify(body) : null,
    cache: 'no-store',
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  const found = (await response.json().catch(() => ({}))) as Record<string, unknown> | null;
  if (!response.ok) {
    const said = typeof found?.['error'] === 'string' ? found['error'] : '';
    throw new RefusedError(said, response.status, Number(response.headers.get('Retry-After') ?? 0));
  }
  return found ?? {};
}

function read(found: Record<string, unknown>): Answer {
  const { account, role, permissions, token, expires } = found;
  const isNew = found['is_new'] === true;
  if (typeof account !== 'string' || typeof role !== 'string' || !Array.isArray(permissions)) return { who: null, isNew };
  return {
    who: {
      account,
      role,
      permissions: permissions.filter((one): one is string => typeof one === 'string'),
      token: typeof token === 'string' ? token : '',
      expires: typeof expires === 'string' ? expires : '',
    },
    isNew,
  };
}

export const askWho = async (): Promise<Answer> => read(await talk('GET', 'api/v1/session'));

export const signIn = async (name: string, password: string): Promise<Answer> =>
  read(await talk('POST', 'api/v1/session', { name, password }));

export const useCode = async (code: string, password: string | null): Promise<Answer> =>
  read(await talk('POST', 'api/v1/session/code', { code, password }));

/** What a one-time code is good for; it stays good. */
export async function lookAtCode(code: string): Promise<{ account: string; setsPassword: boolean }> {
  const found = await talk('POST', 'api/v1/session/code/look', { code });
  return { account: String(found['account']), setsPassword: found['sets_password'] === true };
}

/** Another password for oneself; all other sessions of the account end. */
export const changePassword = async (old: string, fresh: string, token: string): Promise<void> =>
  void (await talk('POST', 'api/v1/session/password', { old, new: fresh }, token));

export const signOut = async (token: string): Promise<void> => void (await talk('DELETE', 'api/v1/session', undefined, token));
