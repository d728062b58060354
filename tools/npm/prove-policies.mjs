// Proves the policies of the base stack in both directions, by an evaluator that is not ours.
//
//   node prove-policies.mjs CALLS.jsonl
//
// CALLS.jsonl holds the policies that roles of the simulated AWS had, and every question of authorisation that their calls
// raised in the tests (internal/awssim/iam/record.go). Of these, every call as it was made must be allowed; every call changed in
// one way (another account, Region, name, VPC, role, tag ...) must be denied; and every action of every statement must be
// what allows some call, so that nothing can be left out.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const lines = readFileSync(process.argv[2], 'utf8').trim().split('\n').map((l) => JSON.parse(l))
const documents = new Map()
const names = new Map()
const calls = []
for (const l of lines) {
  if (l.name === 'deployer') continue // whose rights CloudFormation uses, unseen here: rights.py
  if (l.policy) {
    documents.set(l.policy, l.document)
    names.set(l.policy, l.name)
  } else if (l.action && !/:role\/(deployer|refused)$/.test(l.role)) calls.push(l) // refused are the calls that a test wants denied
}

// Tags that no statement asks for tell nothing, and calls that differ in them and in ids alone are one.
const asked = new Map() // by action: the keys that any statement asks for
for (const d of documents.values())
  for (const s of d.Statement)
    for (const a of [s.Action].flat())
      for (const op of Object.values(s.Condition ?? {})) for (const k of Object.keys(op)) asked.set(a, (asked.get(a) ?? new Set()).add(k))
const id = /[0-9a-f]{6,}(-[0-9a-f]{4,})*/g
const distinct = new Map()
for (const c of calls) {
  c.context = Object.fromEntries(Object.entries(c.context ?? {}).filter(([k]) => asked.get(c.action)?.has(k) || !k.includes('ResourceTag/')))
  const key = `${c.role} ${c.policies} ${c.action} ${c.resource.replace(id, 'ID')} ${JSON.stringify(c.context).replace(id, 'ID')}`
  if (!distinct.has(key)) distinct.set(key, c)
}
calls.splice(0, calls.length, ...distinct.values())

// The evaluator leaves keys that bear a name of their own out of a request: two that every request may have stand in for those.
const standIns = { 'kms:EncryptionContext:SecretARN': 'aws:Referer', 'kms:EncryptionContext:aws:s3:arn': 'aws:UserAgent' }
const standIn = (k) => standIns[k] ?? k
for (const d of documents.values())
  for (const s of d.Statement)
    for (const [operator, op] of Object.entries(s.Condition ?? {})) s.Condition[operator] = Object.fromEntries(Object.entries(op).map(([k, v]) => [standIn(k), v]))
for (const c of calls) c.context = Object.fromEntries(Object.entries(c.context).map(([k, v]) => [standIn(k), v]))

const accountOf = (arn) => arn.split(':')[4]

async function allowed(call, docs) {
  const resource = call.resource
  const context = { 'aws:PrincipalAccount': accountOf(call.role), 'aws:PrincipalArn': call.role, ...call.context }
  // A key's own policy, as KMS makes it, leaves the decision to IAM.
  const account = `arn:aws:iam::${accountOf(call.role)}:root`
  const resourcePolicy = call.action.startsWith('kms:') ? { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: account }, Action: 'kms:*', Resource: '*' }] } : undefined
  const r = await runSimulation({
    request: { principal: call.role, action: call.action, resource: { resource, accountId: accountOf(call.role) }, contextVariables: context },
    identityPolicies: docs.map((policy, i) => ({ name: `p${i}`, policy })), serviceControlPolicies: [], resourceControlPolicies: [], resourcePolicy,
  }, {})
  if (r.resultType === 'error') throw new Error(`${call.action} on ${resource}: ${JSON.stringify(r.errors)}`)
  if (r.resultType === 'wildcard') throw new Error(`${call.action} on ${resource}: a recorded resource must not hold a wildcard`)
  return r.overallResult === 'Allowed'
}

// What may stand in the place of a name, by the kind of resource: always something that is not ours.
function otherName(resource, readsInstallation) {
  const [head, ...rest] = splitARN(resource)
  const tail = rest.join(':')
  const out = []
  const put = (t) => out.push(`${head}${t}`)
  const kinds = [
    [/^table\/[^/]+(.*)$/, (m) => `table/other${m[1]}`],
    [/^stack\/[^/]+\/(.*)$/, (m) => `stack/other-set-main/${m[1]}`],
    [/^stack\/([^/]+)-set-[^/]+\/(.*)$/, (m) => `stack/${m[1]}/${m[2]}`], // our own base stack
    [/^stack\/([^/]+)-set-[^/]+\/(.*)$/, (m) => `stack/${m[1]}-set-nobodys/${m[2]}`],
    [/^task\/[^/]+\/(.*)$/, (m) => `task/other/${m[1]}`],
    [/^function:.*$/, () => 'function:other'],
    [/^schedule\/[^/]+\/(.*)$/, (m) => `schedule/other/${m[1]}`],
    [/^role\/.*$/, () => 'role/Administrator'],
    [/^task-definition\/[^:]+:(.*)$/, (m) => `task-definition/other:${m[1]}`],
    [/^log-group:[^:]+:(.*)$/, (m) => `log-group:/aws/lambda/other:${m[1]}`],
    [/^(vpc|subnet|security-group|route-table)\/.*$/, (m) => `${m[1]}/${{ vpc: 'vpc', subnet: 'subnet', 'security-group': 'sg', 'route-table': 'rtb' }[m[1]]}-0fffffffffffffff0`],
  ]
  for (const [pattern, make] of kinds) {
    if (readsInstallation && pattern.source.includes('-set-')) continue
    const m = tail.match(pattern)
    if (m) put(make(m))
  }
  if (resource.includes(':sqs:')) put('other-queue')
  if (resource.includes(':codecommit:')) put('other-repository')
  if (resource.includes(':ecr:')) put('repository/other')
  if (resource.includes(':secretsmanager:')) put('secret:other-AbCdEf')
  if (resource.includes(':s3:')) {
    const [bucket, ...key] = tail.split('/')
    put(['other-bucket', ...key].join('/'))
    if (key.length) put(`${bucket}/other/${key.at(-1)}`)
  }
  return out
}

function splitARN(arn) {
  const parts = arn.split(':')
  return [parts.slice(0, 5).join(':') + ':', ...parts.slice(5)]
}

// The keys that a role's statements ask for with this action, and of each whether a call may do without it: a condition
// with IfExists or Null says so.
function askedKeys(docs, action) {
  const keys = new Map()
  for (const d of docs)
    for (const s of d.Statement)
      if ([s.Action].flat().includes(action))
        for (const [operator, op] of Object.entries(s.Condition ?? {}))
          for (const k of Object.keys(op)) keys.set(k, keys.get(k) || operator.endsWith('IfExists') || operator.startsWith('StringNot') || (operator.startsWith('ForAllValues') && s.Condition.Null?.[k] !== 'false') || (operator === 'Null' && op[k] !== 'false'))
  return keys
}

// ListTasks is granted on * within a cluster, whose ARN holds account and Region: AWS's own examples do it so.
const byClusterAlone = ['ecs:ListTasks']

async function* mutations(call, docs) {
  if (call.resource !== '*' && !byClusterAlone.includes(call.action)) {
    const parts = call.resource.split(':')
    if (parts[4]) yield ['another account', { ...call, resource: [...parts.slice(0, 4), '999999999999', ...parts.slice(5)].join(':') }]
    if (parts[3]) yield ['another Region', { ...call, resource: [...parts.slice(0, 3), parts[3] === 'eu-west-3' ? 'eu-west-1' : 'eu-west-3', ...parts.slice(4)].join(':') }]
    for (const resource of otherName(call.resource, call.action === 'cloudformation:DescribeStacks')) yield ['another resource', { ...call, resource }]
  }
  for (const [key, optional] of askedKeys(docs, call.action)) {
    const value = call.context?.[key]
    if (value === undefined) continue
    if (await allowedWithout(call, docs, key)) continue
    const without = { ...call.context }
    delete without[key]
    if (!optional) yield [`without ${key}`, { ...call, context: without }]
    if (key === 'ecs:enable-execute-command') {
      yield ['with a shell', { ...call, context: { ...call.context, [key]: 'true' } }]
      continue
    }
    if (key === 'cloudformation:ResourceTypes') {
      yield ['a role beside it', { ...call, context: { ...call.context, [key]: [...value, 'AWS::IAM::Role'] } }]
      yield ['any type', { ...call, context: { ...call.context, [key]: ['*'] } }]
      continue
    }
    const other = String(value).startsWith('arn:') ? splitARN(value)[0] + (key === 'ecs:cluster' ? 'cluster/other' : 'role/Administrator') : 'other'
    yield [`another ${key}`, { ...call, context: { ...call.context, [key]: other } }]
  }
}

// Whether a statement that does not ask for a key allows the call by itself.
async function allowedWithout(call, docs, key) {
  for (const d of docs)
    for (const s of d.Statement)
      if ([s.Action].flat().includes(call.action) && !Object.values(s.Condition ?? {}).some((op) => key in op) && (await allowed(call, [{ ...d, Statement: [s] }]))) return true
  return false
}

const failures = []
const fail = (text) => failures.push(text)
const brief = (c) => `${c.role.split('/').pop()} ${c.action} on ${c.resource}`

// Allowed as made.
for (const c of calls) {
  const docs = c.policies.map((p) => documents.get(p))
  if (!(await allowed(c, docs))) fail(`denied as it was made: ${brief(c)} ${JSON.stringify(c.context ?? {})}`)
}

// Denied when changed. A mutation may hit upon another call that was made (a second cluster, say): such twins are left out.
const made = new Set(calls.map((c) => `${c.policies} ${c.action} ${c.resource} ${JSON.stringify(c.context ?? {})}`))
let mutated = 0
const unchangeable = new Set()
for (const c of calls) {
  const docs = c.policies.map((p) => documents.get(p))
  let any = false
  for await (const [what, m] of mutations(c, docs)) {
    if (made.has(`${m.policies} ${m.action} ${m.resource} ${JSON.stringify(m.context ?? {})}`)) continue
    any = true
    mutated++
    if (await allowed(m, docs)) fail(`allowed although it is changed (${what}): ${brief(m)} ${JSON.stringify(m.context ?? {})}`)
  }
  if (!any) unchangeable.add(c.action)
}

// Whether a statement names an action at all. Without one a call is denied whatever else it is, and the evaluator would
// spend minutes on saying so.
const pattern = (action) => new RegExp(`^${action.replaceAll('*', '.*')}$`)
const mentions = (doc, action) => doc.Statement.some((s) => s.NotAction || [s.Action].flat().some((a) => pattern(a).test(action)))

// One side may not do the other's work: a call that only one role ever made, made by another.
const makers = new Map()
const sideOf = (role) => role.split('/').pop().replace(/^.*-(launcher|reaper|cloudformation|scheduler|mirror-execution|mirror|webhook|hook-caller|hook|probe)-.*$/, '$1')
for (const c of calls) makers.set(c.action, (makers.get(c.action) ?? new Set()).add(sideOf(c.role)))
let crossed = 0
for (const c of calls) {
  if (makers.get(c.action).size > 1) continue
  for (const [hash, doc] of documents) {
    const side = sideOf(`role/${names.get(hash)}`)
    if (side === sideOf(c.role)) continue
    crossed++
    if (!mentions(doc, c.action)) continue
    if (await allowed({ ...c, role: c.role.replace(/[^/]+$/, names.get(hash)) }, [doc])) fail(`${side} may do what only ${sideOf(c.role)} has to: ${c.action}`)
  }
}

// Nothing superfluous: without an action of a statement some call is denied.
const needed = new Map() // side, Sid (without the number of its part) and action: whether some policy needs it
for (const [hash, doc] of documents) {
  const own = calls.filter((c) => c.policies.includes(hash))
  for (const [i, s] of doc.Statement.entries()) {
    for (const action of [s.Action].flat()) {
      const key = `${sideOf(`role/${names.get(hash)}`)} ${s.Sid.replace(/\d+$/, '')} ${action}`
      if (needed.get(key)) continue
      const rest = [s.Action].flat().filter((a) => a !== action)
      const without = { ...doc, Statement: doc.Statement.flatMap((x, j) => (j !== i ? [x] : rest.length ? [{ ...x, Action: rest }] : [])) }
      let breaks = false
      for (const c of own) {
        if (c.action !== action) continue
        if (!(await allowed(c, [without]))) {
          breaks = true
          break
        }
      }
      needed.set(key, breaks)
    }
  }
}
for (const [key, breaks] of needed) if (!breaks) fail(`superfluous, no call of the tests needs it: ${key}`)

console.log(`policies: ${documents.size} documents; ${calls.length} distinct calls allowed; ${mutated} changed ones and ${crossed} of another role denied; ${needed.size} actions each needed`)
console.log(`policies: not changeable, because AWS knows no resource for them: ${[...unchangeable].sort().join(', ')}`)
if (calls.length < 30 || mutated < 100) fail(`only ${calls.length} calls and ${mutated} changed ones were seen: the recording is not what it should be`)
if (failures.length) {
  console.error([...new Set(failures)].slice(0, 40).join('\n'))
  process.exit(1)
}
