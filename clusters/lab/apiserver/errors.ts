/** metav1.Status as the API sends it for every error. */
export interface Status {
  readonly kind: 'Status'
  readonly apiVersion: 'v1'
  readonly metadata: { readonly continue?: string }
  readonly status: 'Success' | 'Failure'
  readonly message?: string
  readonly reason?: string
  readonly details?: {
    readonly name?: string
    readonly group?: string
    readonly kind?: string
    readonly uid?: string
    readonly causes?: readonly StatusCause[]
    readonly retryAfterSeconds?: number
  }
  readonly code: number
}

export interface StatusCause {
  readonly reason?: string
  readonly message: string
  readonly field?: string
}

/** What a Status says about its object: the resource's plural and group, and the object's name. */
export interface About {
  readonly group: string
  readonly resource: string
  readonly kind?: string
}

/** An error of the API, in-process and over HTTP alike: `code` is the HTTP status, `status` the body. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly code: number
  readonly status: Status

  constructor(code: number, reason: string, message: string, details?: Status['details']) {
    super(message)
    this.code = code
    this.status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, ...(details && { details }), code }
  }

  /** The Status' machine-readable reason, such as `NotFound`. */
  get reason(): string {
    return this.status.reason ?? ''
  }
}

const qualified = (about: About) => (about.group ? `${about.resource}.${about.group}` : about.resource)
const details = (about: About, name: string) => ({ name, ...(about.group && { group: about.group }), kind: about.resource })

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message)
export const unauthorized = () => new ApiError(401, 'Unauthorized', 'Unauthorized')
export const notFound = (about: About, name: string) =>
  new ApiError(404, 'NotFound', `${qualified(about)} "${name}" not found`, details(about, name))
export const unknownPath = () => new ApiError(404, 'NotFound', 'the server could not find the requested resource', {})
export const notAllowed = (message: string) => new ApiError(405, 'MethodNotAllowed', message, {})
export const alreadyExists = (about: About, name: string) =>
  new ApiError(409, 'AlreadyExists', `${qualified(about)} "${name}" already exists`, details(about, name))
export const conflict = (about: About, name: string, why: string, causes?: readonly StatusCause[]) =>
  new ApiError(409, 'Conflict', `Operation cannot be fulfilled on ${qualified(about)} "${name}": ${why}`, {
    ...details(about, name),
    ...(causes && { causes }),
  })
/** 410: the client must list again. */
export const expired = (message: string) => new ApiError(410, 'Expired', message)
export const unsupportedMediaType = (message: string) => new ApiError(415, 'UnsupportedMediaType', message)
export const forbidden = (about: About, name: string, why: string, causes?: readonly StatusCause[]) =>
  new ApiError(403, 'Forbidden', `${qualified(about)} "${name}" is forbidden: ${why}`, {
    ...details(about, name),
    ...(causes && { causes }),
  })

export const modified = 'the object has been modified; please apply your changes to the latest version and try again'

/** One broken field: `reason` as in metav1 causes (`FieldValueRequired`, `FieldValueInvalid`, …). */
export interface FieldProblem {
  readonly field: string
  readonly reason: string
  readonly message: string
}

export const required = (field: string, detail = ''): FieldProblem => ({
  field,
  reason: 'FieldValueRequired',
  message: `Required value${detail && `: ${detail}`}`,
})
export const invalidValue = (field: string, value: unknown, detail: string): FieldProblem => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value) ?? 'null'}: ${detail}`,
})
export const duplicate = (field: string, value: unknown): FieldProblem => ({
  field,
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${JSON.stringify(value)}`,
})
export const unsupportedValue = (field: string, value: unknown, allowed: readonly string[]): FieldProblem => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${allowed.map((v) => JSON.stringify(v)).join(', ')}`,
})

/** 422 with one cause a field. */
export function invalid(
  about: { readonly kind: string; readonly group: string },
  name: string,
  problems: readonly FieldProblem[],
): ApiError {
  const told = problems.map((p) => `${p.field}: ${p.message}`)
  const message = `${about.kind}${about.group && `.${about.group}`} "${name}" is invalid: ${told.length === 1 ? told[0] : `[${told.join(', ')}]`}`
  return new ApiError(422, 'Invalid', message, {
    name,
    ...(about.group && { group: about.group }),
    kind: about.kind,
    causes: problems,
  })
}
