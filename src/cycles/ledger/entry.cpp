#include "cycles/entry.h"

#include <algorithm>
#include <limits>

#include "crypto/hash.h"

namespace spatter::cycles {
namespace {

template <class IdType>
Result<IdType> id_field(const std::string& raw, std::string_view of, std::string_view field) {
  auto id = IdType::from(raw);
  if (!id) return fail(Errc::invalid, "a cycles {} whose {} has {} bytes instead of 32", of, field, raw.size());
  return *id;
}

EntryId entry_id(std::string_view body) { return EntryId{sha256(as_bytes(body)).bytes}; }

/// One content has one form: the bytes that we would write ourselves.
Result<void> check_form(const std::string& bytes, const std::string& ours) {
  if (bytes != ours) return fail(Errc::invalid, "a cycles entry that holds more than it should, or in another form");
  return {};
}

Result<Fuel> fuel_field(Fuel fuel, std::string_view of) {
  if (fuel == 0 || fuel > lease_fuel_max)
    return fail(Errc::invalid, "a cycles {} of {} fuel: from 1 to {}", of, fuel, lease_fuel_max);
  return fuel;
}

Result<What> read_pledge(const wire::CyclesPledge& message) {
  if (message.share_ppm() > whole_ppm)
    return fail(Errc::invalid, "a pledge of {} millionths: a server has {}", message.share_ppm(), whole_ppm);
  return Pledge{message.share_ppm(), message.from_month()};
}

Result<What> read_lease(const wire::CyclesLease& message) {
  Lease lease;
  TRY(lease.worker, id_field<ServerId>(message.worker(), "lease", "worker"));
  TRY(lease.job, id_field<Digest>(message.job(), "lease", "job"));
  TRY(lease.fuel, fuel_field(message.fuel(), "lease"));
  lease.best_effort = message.best_effort();
  return lease;
}

Result<What> read_answer(const wire::CyclesAnswer& message) {
  Answer answer;
  TRY(answer.lease, id_field<EntryId>(message.lease(), "answer", "lease"));
  if (message.answer() < 1 || message.answer() > 5) return fail(Errc::invalid, "a cycles answer of kind {}", message.answer());
  answer.kind = static_cast<Answer::Kind>(message.answer());
  return answer;
}

Result<What> read_delivery(const wire::CyclesDelivery& message) {
  Delivery delivery;
  TRY(delivery.lease, id_field<EntryId>(message.lease(), "delivery", "lease"));
  TRY(delivery.output, id_field<Digest>(message.output(), "delivery", "output"));
  TRY(delivery.fuel, fuel_field(message.fuel(), "delivery"));
  return delivery;
}

Result<What> read_receipt(const wire::CyclesReceipt& message) {
  Receipt receipt;
  TRY(receipt.delivery, id_field<EntryId>(message.delivery(), "receipt", "delivery"));
  TRY(receipt.fuel, fuel_field(message.fuel(), "receipt"));
  receipt.elapsed_ms = message.elapsed_ms();
  if (receipt.elapsed_ms == 0 || receipt.elapsed_ms > elapsed_ms_max)
    return fail(Errc::invalid, "a cycles receipt for work of {} ms: from 1 to {}", receipt.elapsed_ms, elapsed_ms_max);
  return receipt;
}

Result<What> read_verdict(const wire::CyclesVerdict& message) {
  Verdict verdict;
  TRY(verdict.lease, id_field<EntryId>(message.lease(), "verdict", "lease"));
  if (message.finding() < 1 || message.finding() > 2) return fail(Errc::invalid, "a cycles verdict of kind {}", message.finding());
  verdict.finding = static_cast<Verdict::Finding>(message.finding());
  if (message.draw().size() != verdict.draw.size())
    return fail(Errc::invalid, "a cycles verdict whose draw has {} bytes instead of {}", message.draw().size(), verdict.draw.size());
  std::ranges::copy(as_bytes(message.draw()), verdict.draw.begin());
  return verdict;
}

Result<What> read_kind(const wire::CyclesWhat& message, const NetworkId& network) {
  switch (message.what_case()) {
    case wire::CyclesWhat::kPledge: return read_pledge(message.pledge());
    case wire::CyclesWhat::kLease: return read_lease(message.lease());
    case wire::CyclesWhat::kAnswer: return read_answer(message.answer());
    case wire::CyclesWhat::kDelivery: return read_delivery(message.delivery());
    case wire::CyclesWhat::kReceipt: return read_receipt(message.receipt());
    case wire::CyclesWhat::kVerdict: return read_verdict(message.verdict());
    case wire::CyclesWhat::kFork: {
      TRY(auto fork, make_fork(message.fork().one(), message.fork().other(), network));
      return fork;
    }
    case wire::CyclesWhat::WHAT_NOT_SET: break;
  }
  return fail(Errc::invalid, "a cycles entry that says nothing");
}

struct Write {
  wire::CyclesWhat message;
  void operator()(const Pledge& pledge) {
    message.mutable_pledge()->set_share_ppm(pledge.share_ppm);
    message.mutable_pledge()->set_from_month(pledge.from_month);
  }
  void operator()(const Lease& lease) {
    auto* out = message.mutable_lease();
    out->set_worker(lease.worker.raw());
    out->set_fuel(lease.fuel);
    out->set_best_effort(lease.best_effort);
    out->set_job(lease.job.raw());
  }
  void operator()(const Answer& answer) {
    message.mutable_answer()->set_lease(answer.lease.raw());
    message.mutable_answer()->set_answer(static_cast<std::uint32_t>(answer.kind));
  }
  void operator()(const Delivery& delivery) {
    auto* out = message.mutable_delivery();
    out->set_lease(delivery.lease.raw());
    out->set_fuel(delivery.fuel);
    out->set_output(delivery.output.raw());
  }
  void operator()(const Receipt& receipt) {
    auto* out = message.mutable_receipt();
    out->set_delivery(receipt.delivery.raw());
    out->set_fuel(receipt.fuel);
    out->set_elapsed_ms(receipt.elapsed_ms);
  }
  void operator()(const Verdict& verdict) {
    auto* out = message.mutable_verdict();
    out->set_lease(verdict.lease.raw());
    out->set_finding(static_cast<std::uint32_t>(verdict.finding));
    out->set_draw(verdict.draw.data(), verdict.draw.size());
  }
  void operator()(const Fork& fork) {
    *message.mutable_fork()->mutable_one() = fork.one;
    *message.mutable_fork()->mutable_other() = fork.other;
  }
};

std::string to_bytes(const What& what) {
  Write write;
  std::visit(write, what);
  return write.message.SerializeAsString();
}

Result<What> read_what(const std::string& bytes, const NetworkId& network) {
  if (bytes.size() > what_bytes_max)
    return fail(Errc::invalid, "a cycles entry that says {} bytes: at most {}", bytes.size(), what_bytes_max);
  wire::CyclesWhat message;
  if (!message.ParseFromString(bytes)) return fail(Errc::invalid, "a cycles entry whose content cannot be read");
  TRY(auto what, read_kind(message, network));
  TRY_VOID(check_form(bytes, to_bytes(what)));
  return what;
}

std::string to_body(const Entry& entry, const NetworkId& network, const Digest& what) {
  wire::CyclesEntry body;
  body.set_network(network.raw());
  body.set_person(entry.person.raw());
  body.set_number(entry.number);
  if (entry.previous) body.set_previous(entry.previous->raw());
  body.set_made_ms(static_cast<std::uint64_t>(entry.made_ms));
  body.set_what(what.raw());
  return body.SerializeAsString();
}

/// The signed part: all but what it says.
Result<Entry> check_head(const wire::Signed& record, const NetworkId& network, Digest& what) {
  if (record.body().size() > entry_bytes_max)
    return fail(Errc::invalid, "a cycles entry of {} bytes: at most {}", record.body().size(), entry_bytes_max);
  TRY_VOID(check(record, entry_kind));
  wire::CyclesEntry body;
  if (!body.ParseFromString(record.body())) return fail(Errc::invalid, "a cycles entry that cannot be read");
  Entry entry;
  TRY(const auto in, id_field<NetworkId>(body.network(), "entry", "network"));
  if (in != network) return fail(Errc::denied, "a cycles entry of another network, {}", in);
  TRY(entry.person, id_field<PersonId>(body.person(), "entry", "person"));
  TRY(what, id_field<Digest>(body.what(), "entry", "content"));
  std::ranges::copy(as_bytes(record.key()), entry.key.begin());
  entry.server = server_id(entry.key);
  entry.id = entry_id(record.body());
  entry.number = body.number();
  if (entry.number == 0 || entry.number > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    return fail(Errc::invalid, "server {}: a cycles entry with the number {}", entry.server, entry.number);
  if (body.previous().empty() != (entry.number == 1))
    return fail(Errc::invalid, "server {}: cycles entry {} {} an entry before it", entry.server, entry.number,
                body.previous().empty() ? "names no" : "names");
  if (entry.number > 1) {
    TRY(entry.previous, id_field<EntryId>(body.previous(), "entry", "previous"));
  }
  if (body.made_ms() > static_cast<std::uint64_t>(std::numeric_limits<WallMs>::max() / 4))
    return fail(Errc::invalid, "server {}: cycles entry {} is dated {} ms", entry.server, entry.number, body.made_ms());
  entry.made_ms = static_cast<WallMs>(body.made_ms());
  TRY_VOID(check_form(record.body(), to_body(entry, network, what)));
  return entry;
}

}  // namespace

std::string_view to_string(const What& what) {
  constexpr std::string_view names[] = {"pledge", "lease", "answer", "delivery", "receipt", "verdict", "fork"};
  return names[what.index()];
}

std::string_view to_string(Answer::Kind kind) {
  switch (kind) {
    case Answer::Kind::accepted: return "accepted";
    case Answer::Kind::time_taken: return "its promised time is taken";
    case Answer::Kind::not_entitled: return "the asker is not entitled to so much";
    case Answer::Kind::clocks_differ: return "the clocks differ by more than one epoch";
    case Answer::Kind::unwilling: return "unwilling";
  }
  panic(__FILE__, __LINE__, "an answer of no kind");
}

MadeEntry make_entry(const SigningKey& server, const NetworkId& network, const PersonId& person, const ChainHead& head,
                     const What& what, WallMs now, WallMs cause_ms) {
  MadeEntry made;
  made.record.set_what(to_bytes(what));
  Entry& entry = made.entry;
  entry.key = server.public_key();
  entry.server = server_id(entry.key);
  entry.person = person;
  entry.number = head.number + 1;
  if (head.number > 0) entry.previous = head.id;
  entry.made_ms = std::max({now, head.made_ms, cause_ms, WallMs{0}});
  entry.what = what;
  *made.record.mutable_entry() = sign(server, entry_kind, to_body(entry, network, sha256(as_bytes(made.record.what()))));
  entry.id = entry_id(made.record.entry().body());
  return made;
}

Result<Entry> check_entry(const wire::CyclesRecord& record, const NetworkId& network) {
  Digest what;
  TRY(auto entry, check_head(record.entry(), network, what));
  if (sha256(as_bytes(record.what())) != what)
    return fail(Errc::corrupt, "server {}: cycles entry {} says something else than was signed", entry.server, entry.number);
  TRY(entry.what, read_what(record.what(), network));
  return entry;
}

Result<Entry> read_entry(ByteView bytes, const NetworkId& network) {
  wire::CyclesRecord record;
  if (bytes.size() > 2 * (entry_bytes_max + what_bytes_max) ||
      !record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(Errc::invalid, "a cycles record of {} bytes that cannot be read", bytes.size());
  return check_entry(record, network);
}

Result<Fork> make_fork(const wire::Signed& one, const wire::Signed& other, const NetworkId& network) {
  Digest what;
  TRY(const auto first, check_head(one, network, what));
  TRY(const auto second, check_head(other, network, what));
  if (first.server != second.server)
    return fail(Errc::invalid, "a cycles fork of two servers, {} and {}", first.server, second.server);
  if (first.number != second.number)
    return fail(Errc::invalid, "a cycles fork of server {} with two numbers, {} and {}", first.server, first.number, second.number);
  if (first.id == second.id)
    return fail(Errc::invalid, "a cycles fork of server {} with one entry, {}, twice", first.server, first.number);
  return Fork{first.server, first.number, one, other};
}

}  // namespace spatter::cycles
