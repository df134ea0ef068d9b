/** Roles are cumulative: who may do more may do all of less. */
export type Role = 'observer' | 'member' | 'builder' | 'admin'

/** From least to most: observer reads, member submits builds and writes memory, builder accepts builds, admin decides membership. */
export const ROLES: readonly Role[] = ['observer', 'member', 'builder', 'admin']

export function isRole (value: unknown): value is Role { return ROLES.includes(value as Role) }

/** Does a device with `role` (undefined: no member) have what `needed` allows? */
export function hasRole (role: Role | undefined, needed: Role): boolean {
  return role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(needed)
}
