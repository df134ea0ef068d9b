import { error, met, type Codes } from './codes.ts'

export const USAGE: Codes = {
  USAGE: error('The command was not understood: a word, a flag or a value. Exit code 2.', '`--help` of the command shows what it takes, with examples.'),
  NEEDS_YES: error('The command does what nobody can take back, and there is no person at a terminal to ask. Nothing was done. Exit code 2.', 'Look at what the message names; then the same command with `--yes`.'),
  NOT_IN_THIS_VERSION: error('The name belongs to a later version. Exit code 2.', '`elder-node --help` lists what this version has.'),
  NO_SUCH_FILE: error('A file that a flag names is not there.', 'Check the path; `-` reads standard input.'),
  FILE_EXISTS: error('`--save-recovery` names a file that is there; it may hold the recovery text of another mesh.', 'Give another path.'),
}

/** In answers of the pages that `http.listen` opens. */
export const PAGES: Codes = {
  NO_SUCH_PAGE: met('page', 'Only /healthz, /readyz and /metrics are answered.', 'Ask for one of these.'),
  HTTP_METHOD: met('page', 'The request is neither GET nor HEAD.', 'Ask with GET.'),
  HTTP_BODY: met('page', 'The request has a body.', 'Ask without one.'),
  HTTP_HOST: met('page', 'The request names a host that is not this machine, as a web page could make a browser do.', 'Ask for 127.0.0.1, or for the address that `http.listen` names.'),
  HTTP_ORIGIN: met('page', 'The request comes from a web page.', 'Ask from a program, such as Prometheus or curl.'),
  HTTP_FAILED: met('page', 'The page could not be made.', 'The message and `node.log` say why.'),
}
