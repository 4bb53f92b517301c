#include "chance/procedure.h"

#include "chance/choice.h"

namespace spatter {

std::string_view to_string(Procedure procedure) {
  switch (procedure) {
    case Procedure::new_clip: return "new clip";
    case Procedure::countersign: return "countersignature";
    case Procedure::recovery_words: return "recovery words";
  }
  return "unknown";
}

NextProcedure next_procedure(std::span<const SeedHead> heads, std::uint64_t done_epoch,
                             std::uint64_t period_epochs) {
  SPATTER_ASSERT(!heads.empty() && period_epochs > 0);
  const SeedHead* then = &heads.front();
  for (const SeedHead& head : heads)
    if (head.epoch <= done_epoch) then = &head;
  const std::uint64_t half = period_epochs / 2;
  NextProcedure next;
  next.due_epoch =
      done_epoch + (period_epochs - half) + Stream(then->head.view(), "procedure due").below(half + 1);
  for (const SeedHead& head : heads) {
    if (head.number == 0 || head.epoch < next.due_epoch) continue;
    next.what = static_cast<Procedure>(Stream(head.head.view(), "procedure").below(procedures));
    next.drawn_by = head.number;
    break;
  }
  return next;
}

}  // namespace spatter
