#!/usr/bin/env node
// Plain old JavaScript on purpose: an old Node must get as far as the sentence that helps.
(function () {
  var MINIMUM = [22, 13]
  var parts = process.versions.node.split('.')
  var major = Number(parts[0])
  var minor = Number(parts[1])

  function refuse (text) {
    console.error('elder-node: ' + text)
    process.exit(1)
  }

  if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
    refuse('needs Node ' + MINIMUM.join('.') + ' or newer, this is ' + process.versions.node + '. Fix: npx -y -p node@24 -p elder-node elder-node ' + (process.argv[2] || 'join'))
    return
  }

  // In the repository what tsc made last, as published the bundle: package.json says.
  import('#cli').then(function (cli) {
    return cli.start(process.argv.slice(2))
  }, function (error) {
    var missing = error && error.code === 'ERR_MODULE_NOT_FOUND'
    refuse(missing ? 'is not built here (' + error.message + '). Fix: npm run build' : String(error && error.stack || error))
  })
})()
