/** The traceparent as a field of messages. Apart, so that the published types name no validation library. */
import * as v from 'valibot'
import { parseTraceparent } from './traceparent.ts'

/** On the wire: a valid traceparent or null. */
export const traceparentSchema: v.GenericSchema<unknown, string | null> = v.nullable(v.pipe(v.string(), v.check(text => parseTraceparent(text) !== undefined, 'not a traceparent of version 00')))
