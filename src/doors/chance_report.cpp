#include "doors/chance_report.h"

#include <algorithm>
#include <map>

#include "chance/procedure.h"

namespace spatter::doors {
namespace {

/// Puts a report together; every `check` that fails ends it.
class Explainer {
 public:
  explicit Explainer(const ChanceUse& use) : use_(use) {}

  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    report_.steps.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  Json& facts() { return report_.facts; }
  const ChanceUse& use() const { return use_; }

  Result<void> check_network(const NetworkId& network) {
    if (use_.network && *use_.network != network)
      return fail(Errc::denied, "it is of network {}, not of {}", network, *use_.network);
    return {};
  }

  ChanceReport finish(Result<void> done) {
    if (!done) report_.wrong = std::move(done).error();
    report_.facts["holds"] = !report_.wrong;
    return std::move(report_);
  }

 private:
  const ChanceUse& use_;
  ChanceReport report_;
};

std::string hex_of(ByteView bytes) { return to_hex(bytes); }

void say_numbers(Explainer& out, const VrfOutput& output) {
  const ChanceUse& use = out.use();
  if (use.choose && use.of) {
    const auto chosen = choose(output, *use.choose, *use.of);
    out.facts()["chosen"] = chosen;
    out.say("Of {} things, numbered from 0, the output draws {}: {}. (Numbers come from SHA-256 of \"spatter/1 stream\", "
            "\"choose\", the output and a counter; ones that would favour the low remainders are passed over.)",
            *use.of, chosen.size(), fmt::join(chosen, ", "));
  }
  if (use.choose && !use.candidates.empty()) {
    Json chosen = Json::array();
    std::string names;
    for (const std::size_t i : choose_weighted(output, use.candidates, *use.choose)) {
      chosen.push_back(use.candidates[i].id.hex());
      names += (names.empty() ? "" : ", ") + use.candidates[i].id.brief();
    }
    out.say("Of the {} candidates, by weight, it draws {}: {}. (Each has a distance, -log2 of a hash of output and id, over its "
            "weight, in fixed point; the nearest are drawn.)",
            use.candidates.size(), chosen.size(), names);
    out.facts()["chosen"] = std::move(chosen);
  }
  if (use.lot) {
    const bool drawn = drawn_by_lot(output, use.lot->expected, use.lot->weight, use.lot->total);
    const std::uint64_t u = Stream(output, "lot").next();
    out.facts()["drawn"] = drawn;
    out.say("The lot is {}, a number below 2^64. The key has weight {} of {}, and {} are wanted: it is drawn when "
            "lot * {} < {} * {} * 2^64. It is {}.",
            u, use.lot->weight, use.lot->total, use.lot->expected, use.lot->total, use.lot->expected, use.lot->weight,
            drawn ? "drawn" : "not drawn");
  }
}

/// What a verifier computes of a proof, in the words of RFC 9381.
void say_steps(Explainer& out, const VrfProof& proof, const VrfSteps& steps) {
  const ByteView bytes(proof);
  if (steps.tries == 0) return;  // did not come so far
  out.say("Key and input hash to a point of the curve, H = {}, at try {}.", hex_of(steps.input_point), steps.tries);
  out.say("The proof is Gamma = {}, c = {}, s = {}.", hex_of(bytes.first(32)), hex_of(bytes.subspan(32, 16)),
          hex_of(bytes.subspan(48)));
  out.say("With the key Y and the base point B: U = s B - c Y = {}, V = s H - c Gamma = {}.", hex_of(steps.u),
          hex_of(steps.v));
  out.say("Hashing Y, H, Gamma, U and V must give c. It gives {}.", hex_of(steps.challenge));
}

Result<void> explain(Explainer& out, const DrawRecord& record, const std::optional<VrfOutput>& claimed) {
  const auto& [draw, proof] = record;
  out.facts()["kind"] = "draw";
  out.say("A draw for {} in epoch {} of network {}, about {}, by key {}.", to_string(draw.purpose), draw.epoch,
          draw.network.hex(), draw.subject.hex(), hex_of(proof.key));
  TRY_VOID(out.check_network(draw.network));
  out.say("Its input is network, epoch, purpose and subject behind a tag: {}.", hex_of(draw_input(draw)));
  VrfSteps steps;
  const auto output = check_draw(draw, proof, &steps);
  say_steps(out, proof.proof, steps);
  if (!output) return fail(output.error());
  out.say("It does: only the holder of the key can have made this proof, and for this key and input every proof has "
          "the same output.");
  out.say("The output is SHA-512 of 8 Gamma behind the suite's tag: {}.", hex_of(*output));
  out.facts()["output"] = to_hex(*output);
  if (claimed && *claimed != *output)
    return fail(Errc::corrupt, "the draw states another output, {}", hex_of(*claimed));
  say_numbers(out, *output);
  return {};
}

std::string contributions_text(const SeedLink& link) {
  std::map<Contribution::Kind, std::size_t> counts;
  for (const Contribution& one : link.contributions) ++counts[one.kind];
  if (counts.empty()) return "no contributions";
  std::string text;
  for (const auto& [kind, count] : counts)
    text += fmt::format("{}{} {}{}", text.empty() ? "" : " and ", count,
                        kind == Contribution::Kind::audit ? "audit result" : "vouch",
                        count == 1 ? "" : kind == Contribution::Kind::audit ? "s" : "es");
  return text;
}

/// The chain's network is what the root says, unless the caller named another.
Result<SeedHead> explain_root(Explainer& out, const SeedRoot& root) {
  out.say("A seed chain of person {} in network {}, begun in epoch {} with the video whose hash is {}.", root.person.hex(),
          root.network.hex(), root.epoch, root.video.hex());
  TRY_VOID(out.check_network(root.network));
  TRY(auto head, check_seed_root(root, root.network));
  out.say("The person signed this root. Its hash is the chain's name and first head: {}.", head.head.hex());
  return head;
}

void say_procedure(Explainer& out, std::span<const SeedHead> heads) {
  const auto& aging = *out.use().aging;
  const NextProcedure next = next_procedure(heads, aging.done_epoch, aging.period_epochs);
  out.facts()["due_epoch"] = next.due_epoch;
  out.say("The last procedure was done in epoch {}. The head of that time draws when the next is due, between half a "
          "period of {} and a whole one later: epoch {}.",
          aging.done_epoch, aging.period_epochs, next.due_epoch);
  if (!next.what) {
    out.say("Which one it is, the first link from that epoch on will draw; there is none yet.");
    return;
  }
  out.facts()["procedure"] = to_string(*next.what);
  out.say("Link {} is the first from then on, and its head draws: {}.", next.drawn_by, to_string(*next.what));
}

Result<void> explain(Explainer& out, const SeedChain& chain) {
  out.facts()["kind"] = "seed chain";
  TRY(auto root, explain_root(out, chain.root));
  std::vector<SeedHead> heads{root};
  for (const SeedLink& link : chain.links) {
    auto next = check_seed_link(heads.back(), link);
    if (!next) {
      out.say("Link {} does not hold; {} before it do.", link.number, heads.size() - 1);
      return fail(next.error());
    }
    out.say("Link {}, epoch {}: follows the last head, is signed by the person, and holds his draw over that head and "
            "epoch (output {}...) and {}. New head: {}.",
            link.number, link.epoch, hex_of(ByteView(next->output).first(8)), contributions_text(link), next->head.hex());
    heads.push_back(*next);
  }
  out.say("All {} links hold. The chain stands at {}.", chain.links.size(), heads.back().head.hex());
  out.facts()["person"] = root.person.hex();
  out.facts()["root"] = root.root.hex();
  out.facts()["links"] = chain.links.size();
  out.facts()["epoch"] = heads.back().epoch;
  out.facts()["head"] = heads.back().head.hex();
  if (out.use().aging) say_procedure(out, heads);
  return {};
}

std::string differences(const SeedLink& a, const SeedLink& b) {
  std::string text;
  const auto differ = [&](bool yes, const char* what) {
    if (yes) text += (text.empty() ? "" : ", ") + std::string(what);
  };
  differ(a.epoch != b.epoch, "epoch");
  differ(a.previous != b.previous, "previous head");
  differ(!std::equal(a.proof.begin(), a.proof.begin() + 32, b.proof.begin()), "draw");
  differ(a.contributions != b.contributions, "contributions");
  return text;
}

Result<void> explain(Explainer& out, const SeedConflict& conflict) {
  out.facts()["kind"] = "seed conflict";
  TRY(auto root, explain_root(out, conflict.root));
  TRY_VOID(check_seed_conflict(conflict, conflict.root.network));
  out.say("Both links carry the number {}, both are signed by the chain's person, and they differ in: {}.",
          conflict.one.number, differences(conflict.one, conflict.other));
  out.say("An honest person signs one link of each number. So this proves that person {} cheats.", root.person.hex());
  out.facts()["person"] = root.person.hex();
  out.facts()["number"] = conflict.one.number;
  return {};
}

}  // namespace

ChanceReport explain_chance(const ParsedChance& parsed, const ChanceUse& use) {
  Explainer out(use);
  Result<void> done;
  if (const auto* draw = std::get_if<DrawRecord>(&parsed.record)) done = explain(out, *draw, parsed.claimed);
  if (const auto* chain = std::get_if<SeedChain>(&parsed.record)) done = explain(out, *chain);
  if (const auto* conflict = std::get_if<SeedConflict>(&parsed.record)) done = explain(out, *conflict);
  return out.finish(std::move(done));
}

}  // namespace spatter::doors
