// Whether a network serves its users or does nothing but mend (repair-only). No server decides that: in
// every epoch persons whom chance names report what they see, each report is signed, and everybody who has
// the same reports comes to the same result.
//
// Two thirds of an epoch's reports turn repair-only on, and two thirds in `calm_epochs` epochs in a row turn
// it off again. Who sees no stripes abstains. A person has one voice, however many servers he runs, and the draw is made with the first
// key that he ever had, so nobody gets more voices by making keys. Fewer than a third of the reporters can
// neither begin it nor keep it up; docs/SECURITY.md says what this does not cover.
//
// Pure functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "chance/draw.h"
#include "trust/certificate.h"
#include "wire/proto/mode.pb.h"

namespace spatter {

namespace kind {
inline constexpr std::string_view mode_report = "mode-report";
}

/// What a reporter sees: of the stripes that it owns or helps to keep.
struct ModeFacts {
  std::uint64_t stripes = 0, tidy = 0, due = 0, urgent = 0, lost = 0;
  std::uint64_t stuck = 0;   ///< of the urgent ones: nobody can rebuild them before somebody comes back, or nobody
                             ///< has room for what is rebuilt
  std::uint64_t fresh = 0;   ///< by so many more are lost or stuck than `fresh_epochs` before
  std::uint64_t left_bytes = 0;          ///< to be moved for those that are due or urgent, and not stuck
  std::uint64_t repair_bytes_per_s = 0;  ///< of the reporter; 0: not measured yet
  std::uint64_t helpers = 0; ///< how many share in that work, the reporter included
  std::uint64_t partners = 0;  ///< persons with a server that keeps stripes together with the reporter, or its own
  std::uint64_t departed = 0;  ///< of them, in the last `departure_epochs`: with all these servers
  bool operator==(const ModeFacts&) const = default;

  /// Until what is due or urgent is rebuilt; nothing: not known.
  std::optional<double> seconds_left() const;
};
inline constexpr std::uint64_t fresh_epochs = 3;
inline constexpr std::uint64_t departure_epochs = 24;
inline constexpr std::uint64_t mode_figure_max = std::uint64_t{1} << 48;
inline constexpr std::size_t mode_report_bytes_max = 4096;  ///< signed, as it goes over the wire

struct ModeVerdict {
  bool threatened = false;
  bool calm = false;
  bool race = false;  ///< servers leave faster than repair can follow
};
/// What the facts call for. Stripes that are lost or stuck for longer count in neither: nothing that the
/// network does now would change them, and it shall not wait for them for ever.
///
///   endangered  urgent - stuck + fresh
///   race        at the rate of `departed`, another third of the partners will have gone before repair is through
///   threatened  endangered is more than urgent_ppm of all stripes, or race
///   calm        endangered is at most calm_ppm of all stripes, and no race
ModeVerdict judge_facts(const ModeFacts& facts, const MendRules& rules, Duration epoch);

struct ModeReport {
  ServerId reporter;
  PersonId person;
  std::uint64_t epoch = 0;
  PublicKey draw_key{};
  VrfProof draw{};
  wire::Signed certificate;
  ModeFacts facts;
  bool threatened = false, calm = false, repair_only = false;
  WallMs made_ms = 0;
};

wire::Signed make_mode_report(const SigningKey& server_key, const NetworkId& network, const ModeReport& report);

/// A report that proves itself: of this network, signed by the server that it names, whose certificate names
/// the person and was signed by the key `signed_by`, with a draw that is the person's. Whether that key is his,
/// whether he is trusted, whether the draw names him and whether the verdict follows from the figures is for the
/// caller.
struct ModeReportFacts {
  ModeReport report;
  PersonId signed_by;
  VrfOutput output{};
  Digest hash;  ///< SHA-256 of the body
};
/// Takes about a millisecond. Errors name the reporter where it can be told.
Result<ModeReportFacts> check_mode_report(const wire::Signed& record, const NetworkId& network);
/// The cheap part of it: the form alone.
Result<ModeReport> read_mode_report(std::string_view body, const NetworkId& network);

/// The occasion at which a person's draw says whether he reports in an epoch; its subject is
/// SHA-256("spatter/1 reporter" || 0x00 || person).
Draw reporter_draw(const NetworkId& network, std::uint64_t epoch, const PersonId& person);
/// Whether he does, among so many persons.
bool is_reporter(const VrfOutput& output, const MendRules& rules, std::uint64_t persons);
/// Whether others take his report: they may know a twentieth and one more persons than he does.
bool may_report(const VrfOutput& output, const MendRules& rules, std::uint64_t persons);

/// Who has a voice, as one server sees it. While only one person has, his servers take the place of persons.
struct Electorate {
  std::uint64_t persons = 0;  ///< among whom reporters are drawn
  std::uint64_t voices = 0;   ///< of those whose servers are known here: not away for longer than absent_epochs
  std::uint64_t present = 0;  ///< of these: with a server that is up
  bool by_server = false;     ///< then all that follows and precedes counts servers
  std::uint64_t known = 0;    ///< voices, and those that are away for longer but not forgotten; `voices` if less
  bool operator==(const Electorate&) const = default;
};

struct ModeTally {
  std::uint64_t epoch = 0;
  std::uint64_t reports = 0;    ///< that say something of stripes: of these are
  std::uint64_t threatened = 0, calm = 0, repair_only = 0;
  std::uint64_t abstained = 0;  ///< reports of who sees no stripes
  std::uint64_t needed = 0;     ///< reports, to end it
  std::uint64_t needed_to_begin = 0;
  bool quorum = false;    ///< there are so many present, and reports, that it can end
  bool majority = false;  ///< and so many present that it can begin
  ModeFacts sum;          ///< of all reports, each counting for four typical ones at most; but medians of
                          ///< `partners` and `departed`
  std::optional<double> seconds_left;  ///< the median of what reporters expect
  double share_in_danger = 0;          ///< the median of their shares that are urgent or lost, 0 to 1
  bool is_threatened() const { return quorum && majority && reports >= needed_to_begin && 3 * threatened >= 2 * reports; }
  bool is_calm() const { return quorum && 3 * calm >= 2 * reports; }
};

/// The reports that count: of an epoch, one of each person (or server), the one whose body has the lowest
/// hash.
std::vector<const ModeReportFacts*> counted(std::span<const ModeReportFacts> reports, std::uint64_t epoch,
                                            bool by_server);

/// Expected of the present are E = min(reporters, persons) x present / voices reports (by servers: present).
///
///   quorum           at least half of the voices are present, and two of them unless there is one alone; and at
///                    least `needed` reports
///   needed           half of E - abstained, at least one; none when all have abstained
///   majority         at least half of those known are present, and two of them
///   needed_to_begin  `needed`, and at least a quarter of E: those who see nothing cannot leave it to few
ModeTally tally(std::span<const ModeReportFacts> reports, std::uint64_t epoch, const Electorate& electorate,
                const MendRules& rules);

struct ModeState {
  std::uint64_t epoch = 0;  ///< that was judged last with a quorum
  bool repair_only = false;
  std::uint64_t since_epoch = 0;
  std::uint32_t calm_run = 0;  ///< calm epochs in a row
  bool operator==(const ModeState&) const = default;
};

/// The state after an epoch. Without a quorum nothing changes, `epoch` included. Where two thirds of the
/// reporters were in the other mode when they reported, this server has missed something and follows them first.
ModeState step(ModeState state, const ModeTally& tally, const MendRules& rules);

}  // namespace spatter
