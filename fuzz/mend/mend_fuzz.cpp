// What strangers send about mending and the mode: whatever comes, it is refused or makes sense, and what was
// read is written the same.
#include <cstdint>

#include "base/random.h"
#include "mend/mode.h"
#include "trust/holder_list.h"

using namespace spatter;

namespace {

struct World {
  SeededRandom random{1};
  NetworkId network{};  ///< all zero, so that the fuzzer finds it
  SigningKey person = SigningKey::generate(random), server = SigningKey::generate(random);
  Identity identity = make_identity(network, person, server, 1);
  MadeDraw draw = make_draw(person, reporter_draw(network, 0, identity.person));
};

void try_report(const World& world, std::string_view text) {
  wire::Signed record;
  if (record.ParseFromArray(text.data(), static_cast<int>(text.size())))
    static_cast<void>(check_mode_report(record, world.network));
  // The same, signed: what its form allows must come out as it went in, and be countable.
  auto report = read_mode_report(text, world.network);
  wire::ModeReport message;
  if (!report && message.ParseFromArray(text.data(), static_cast<int>(text.size()))) {
    message.set_network(world.network.raw());
    message.set_reporter(world.identity.server.raw());
    message.set_person(world.identity.person.raw());
    message.set_epoch(0);
    message.set_draw_key(world.draw.proof.key.data(), world.draw.proof.key.size());
    message.set_draw(world.draw.proof.proof.data(), world.draw.proof.proof.size());
    *message.mutable_certificate() = world.identity.certificate;
    report = read_mode_report(message.SerializeAsString(), world.network);
  }
  if (!report) return;
  SPATTER_ASSERT(report->facts.urgent + report->facts.lost <= report->facts.stripes);
  SPATTER_ASSERT(!(report->threatened && report->calm));
  auto checked = check_mode_report(make_mode_report(world.server, world.network, *report), world.network);
  if (!checked) return;
  SPATTER_ASSERT(checked->report.facts == report->facts);
  const std::vector<ModeReportFacts> reports(3, *checked);
  const MendRules rules;
  const auto sum = tally(reports, checked->report.epoch, {2, 2, 2, false}, rules);
  SPATTER_ASSERT(sum.reports + sum.abstained == 1);
  static_cast<void>(step({}, sum, rules));
  const auto verdict = judge_facts(report->facts, rules, std::chrono::hours(1));
  SPATTER_ASSERT(!(verdict.threatened && verdict.calm));
}

template <class Message>
void try_message(std::string_view text) {
  Message message;
  if (message.ParseFromArray(text.data(), static_cast<int>(text.size()))) static_cast<void>(message.SerializeAsString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: try_report(world, text); break;
    case 1:
      if (const auto list = read_holder_list(text)) SPATTER_ASSERT(read_holder_list(holder_list_body(*list)).has_value());
      break;
    case 2: {
      wire::HolderChain chain;
      Descriptor descriptor;
      descriptor.k = 2;
      descriptor.n = 6;
      const auto anybody = [](const ServerId&, const PersonId&) { return true; };
      if (chain.ParseFromArray(text.data(), static_cast<int>(text.size())))
        static_cast<void>(check_holder_chain(chain, descriptor, anybody));
      break;
    }
    default:
      try_message<wire::ModePushRequest>(text);
      try_message<wire::ModeFile>(text);
  }
  return 0;
}
