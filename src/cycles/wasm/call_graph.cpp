#include "call_graph.h"

#include <algorithm>

#include "cycles/module.h"

namespace spatter::wasm {
namespace {

constexpr std::uint32_t prepaid_cost_max = 48;
/// Chains of functions that count nothing may use as much between two that count, and before the first.
constexpr std::uint64_t uncounted_bytes_max = 64u << 10;

/// Functions, and one node more: the table, which everyone who calls indirectly calls, and which
/// calls every function in it.
class CallGraph {
 public:
  CallGraph(const Module& module, const std::vector<BodySummary>& summaries)
      : module_(module), summaries_(summaries), imported_(static_cast<std::uint32_t>(module.imports.size())),
        table_(static_cast<std::uint32_t>(summaries.size())) {
    for (const auto& segment : module.elements) {
      for (const auto function : segment.functions) {
        if (function >= imported_) in_table_.push_back(function - imported_);
      }
    }
    std::ranges::sort(in_table_);
    const auto rest = std::ranges::unique(in_table_);
    in_table_.erase(rest.begin(), rest.end());
  }

  CallRules rules();

 private:
  std::uint64_t edge_count(std::uint32_t node) const {
    if (node == table_) return in_table_.size();
    return summaries_[node].callees.size() + (summaries_[node].indirect_calls != 0);
  }
  /// A node, or `imported` for what the host does.
  static constexpr std::uint32_t imported = ~0u;
  std::uint32_t edge(std::uint32_t node, std::uint64_t i) const {
    if (node == table_) return in_table_[i];
    const auto& callees = summaries_[node].callees;
    if (i == callees.size()) return table_;
    return callees[i] < imported_ ? imported : callees[i] - imported_;
  }

  void count_inlined_frames();
  void find_cycles();
  void component(std::span<const std::uint32_t> nodes);
  std::uint64_t deepest_callee(std::uint32_t node) const;

  const Module& module_;
  const std::vector<BodySummary>& summaries_;
  const std::uint32_t imported_;
  const std::uint32_t table_;
  std::vector<std::uint32_t> in_table_;
  std::vector<std::uint64_t> frames_;     ///< with the frames of what may be inlined for good
  std::vector<std::uint64_t> uncounted_;  ///< bytes below a call of the node until something counts
  CallRules rules_;
};

CallRules CallGraph::rules() {
  rules_.functions.resize(table_);
  for (std::uint32_t i = 0; i < table_; ++i) {
    const auto& summary = summaries_[i];
    auto& rule = rules_.functions[i];
    rule.prepaid = summary.callees.empty() && summary.indirect_calls == 0 && !summary.has_loop &&
                   !summary.has_bulk && summary.cost <= prepaid_cost_max &&
                   !(module_.has_start && i + imported_ == module_.start_function);
    if (rule.prepaid) rule.cost = static_cast<std::uint32_t>(summary.cost);
  }
  for (const auto function : in_table_) {
    rules_.indirect_cost = std::max(rules_.indirect_cost, rules_.functions[function].cost);
  }
  count_inlined_frames();
  uncounted_.assign(table_ + 1, 0);
  find_cycles();
  return std::move(rules_);
}

/// A function with one caller only is likely put in the caller's place, and its frame is then there
/// whether it runs or not: so it is added to the caller's.
void CallGraph::count_inlined_frames() {
  constexpr std::uint32_t none = ~0u, several = ~0u - 1;
  std::vector<std::uint32_t> caller(table_, none), pending(table_, 0);
  for (std::uint32_t node = 0; node < table_; ++node) {
    for (const auto callee : summaries_[node].callees) {
      if (callee < imported_) continue;
      auto& seen = caller[callee - imported_];
      seen = seen == none ? node : several;
    }
  }
  for (const auto function : in_table_) caller[function] = several;
  frames_.resize(table_ + 1);
  for (std::uint32_t node = 0; node < table_; ++node) {
    frames_[node] = frame_bytes(module_.type_of(node + imported_), module_.bodies[node], summaries_[node]);
    if (caller[node] < table_) ++pending[caller[node]];
  }
  // Callees before callers. What calls itself in a circle of only callers is never called, nor counted.
  std::vector<std::uint32_t> ready;
  for (std::uint32_t node = 0; node < table_; ++node) {
    if (pending[node] == 0) ready.push_back(node);
  }
  while (!ready.empty()) {
    const auto node = ready.back();
    ready.pop_back();
    const auto to = caller[node];
    if (to >= table_) continue;
    frames_[to] += frames_[node];
    if (--pending[to] == 0) ready.push_back(to);
  }
}

/// Tarjan's strongly connected components, callees' components first, without recursion of our own.
void CallGraph::find_cycles() {
  constexpr std::uint32_t unseen = ~0u;
  struct Visit {
    std::uint32_t node;
    std::uint64_t next_edge;
  };
  const auto count = table_ + 1;
  std::vector<std::uint32_t> order(count, unseen), low(count, 0), open;
  std::vector<bool> is_open(count, false);
  std::vector<Visit> visits;
  std::uint32_t clock = 0;
  const auto visit = [&](std::uint32_t node) {
    order[node] = low[node] = clock++;
    open.push_back(node);
    is_open[node] = true;
    visits.push_back({node, 0});
  };
  for (std::uint32_t root = 0; root < count; ++root) {
    if (order[root] != unseen) continue;
    visit(root);
    while (!visits.empty()) {
      const auto node = visits.back().node;
      if (visits.back().next_edge < edge_count(node)) {
        const auto to = edge(node, visits.back().next_edge++);
        if (to == imported) continue;
        if (order[to] == unseen) visit(to);
        else if (is_open[to]) low[node] = std::min(low[node], order[to]);
        continue;
      }
      visits.pop_back();
      if (!visits.empty()) low[visits.back().node] = std::min(low[visits.back().node], low[node]);
      if (low[node] != order[node]) continue;
      const auto begin = std::ranges::find(open.rbegin(), open.rend(), node).base() - 1;
      for (auto i = begin; i != open.end(); ++i) is_open[*i] = false;
      component(std::span(begin, open.end()));
      open.erase(begin, open.end());
    }
  }
}

std::uint64_t CallGraph::deepest_callee(std::uint32_t node) const {
  std::uint64_t deepest = 0;
  for (std::uint64_t i = 0; i < edge_count(node); ++i) {
    const auto to = edge(node, i);
    if (to != imported) deepest = std::max(deepest, uncounted_[to]);
  }
  return deepest;
}

void CallGraph::component(std::span<const std::uint32_t> nodes) {
  bool cycle = nodes.size() > 1;
  for (std::uint64_t i = 0; !cycle && i < edge_count(nodes[0]); ++i) cycle = edge(nodes[0], i) == nodes[0];
  // The table first: the others of its cycle look at it.
  if (std::ranges::find(nodes, table_) != nodes.end()) uncounted_[table_] = deepest_callee(table_);
  for (const auto node : nodes) {
    if (node == table_) continue;
    const auto bytes = frames_[node] + deepest_callee(node);
    auto& rule = rules_.functions[node];
    rule.counts_stack = cycle || bytes > uncounted_bytes_max;
    if (rule.counts_stack) rule.stack_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, 1u << 30));
    else uncounted_[node] = bytes;
  }
}

}  // namespace

std::uint64_t frame_bytes(const FuncType& type, const Body& body, const BodySummary& summary) {
  // Every local, every operand and every computed value may have a place of its own at once.
  const std::uint64_t places = type.params.size() + body.local_count + summary.operands_max + summary.values;
  return 128 + 8 * places;
}

CallRules call_rules(const Module& module, const std::vector<BodySummary>& summaries) {
  return CallGraph(module, summaries).rules();
}

}  // namespace spatter::wasm
