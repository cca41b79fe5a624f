// Drives the platform through the npm package `openwhisk`; prints what it saw as one JSON object.
const openwhisk = require('openwhisk')

async function main () {
  const ow = openwhisk({ apihost: process.argv[2], api_key: process.argv[3] })
  const seen = {}
  const action = 'def main(args):\n  print("at work")\n  return {"hello": args.get("name")}'
  const created = await ow.actions.create({ name: 'npm', action, kind: 'python:3' })
  seen.created = { name: created.name, version: created.version, kind: created.exec.kind }
  const updated = await ow.actions.update({ name: 'npm', action, kind: 'python:3', params: { name: 'default' } })
  seen.updated = updated.version
  seen.result = await ow.actions.invoke({ name: 'npm', blocking: true, result: true, params: { name: 'npm' } })
  seen.defaulted = await ow.actions.invoke({ name: 'npm', blocking: true, result: true })
  const { activationId } = await ow.actions.invoke({ name: 'npm', params: { name: 'later' } })
  for (let i = 0; i < 200 && !seen.record; i++) {
    try { seen.record = (await ow.activations.get({ name: activationId })).response.result } catch (error) {
      if (error.statusCode !== 404) throw error
    }
  }
  seen.logs = (await ow.activations.logs({ name: activationId })).logs.map(line => line.slice(31))
  seen.stored = (await ow.activations.result({ name: activationId })).result
  seen.listed = (await ow.activations.list({ limit: 3 })).length
  seen.actions = (await ow.actions.list()).map(entry => entry.name)
  seen.got = (await ow.actions.get({ name: 'npm' })).exec.code === action
  seen.namespaces = await ow.namespaces.list()
  await ow.actions.update({ name: 'npm', action: 'def main(args): return {"error": "no"}', kind: 'python:3' })
  seen.failure = await ow.actions.invoke({ name: 'npm', blocking: true, result: true })
    .catch(error => ({ status: error.statusCode, error: error.error.response.result.error }))
  seen.deleted = (await ow.actions.delete({ name: 'npm' })).name
  seen.missing = await ow.actions.get({ name: 'npm' }).catch(error => ({ status: error.statusCode }))
  console.log(JSON.stringify(seen))
}

main().catch(error => { console.error(error); process.exit(1) })
