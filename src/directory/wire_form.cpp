#include "directory/wire_form.h"

#include <algorithm>

#include "net/methods.h"
#include "wire/proto/directory.pb.h"

namespace spatter {
namespace {

template <class Message>
Result<Message> parse(std::string_view body, std::string_view what) {
  Message message;
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return fail(Errc::invalid, "a {} that cannot be read", what);
  return message;
}

void write_name(const RecordKey& key, wire::RecordName* name) {
  name->set_type(static_cast<std::uint32_t>(key.type));
  name->set_subject(key.subject.raw());
}

Result<RecordKey> read_name(const wire::RecordName& name) {
  if (name.type() < 1 || name.type() > record_types)
    return fail(Errc::invalid, "a directory record of type {}", name.type());
  RecordKey key;
  key.type = static_cast<RecordType>(name.type());
  TRY(key.subject, Digest::from(name.subject()));
  return key;
}

std::string record_of(const ContactPtr& contact) { return contact ? contact->record : std::string(); }

}  // namespace

WireRequest to_wire(const DirectoryRequest& request) {
  WireRequest result;
  switch (request.kind) {
    case DirectoryRequest::Kind::ping: {
      result.method = method::directory_ping;
      wire::DirectoryPing message;
      message.set_from(record_of(request.from));
      result.body = message.SerializeAsString();
      break;
    }
    case DirectoryRequest::Kind::find:
    case DirectoryRequest::Kind::get: {
      wire::DirectoryFind message;
      message.set_from(record_of(request.from));
      message.set_contacts(static_cast<std::uint32_t>(request.contacts));
      message.set_within(request.within);
      for (const std::uint64_t tag : request.known) message.add_known(tag);
      if (request.kind == DirectoryRequest::Kind::get) {
        result.method = method::directory_get;
        write_name(request.key, message.mutable_name());
      } else {
        result.method = method::directory_find;
        message.set_target(request.target.raw());
      }
      result.body = message.SerializeAsString();
      break;
    }
    case DirectoryRequest::Kind::put: {
      result.method = method::directory_put;
      wire::DirectoryPut message;
      message.set_from(record_of(request.from));
      for (const RecordPtr& record : request.records) {
        auto* item = message.add_records();
        write_name(record->key, item->mutable_name());
        item->set_value(record->value);
      }
      result.body = message.SerializeAsString();
      break;
    }
  }
  return result;
}

std::string to_wire(std::uint16_t method, const DirectoryReply& reply) {
  if (method == method::directory_ping) return {};
  if (method == method::directory_put) {
    wire::DirectoryStored message;
    message.set_stored(static_cast<std::uint32_t>(reply.stored));
    return message.SerializeAsString();
  }
  wire::DirectoryFound message;
  for (const ContactPtr& contact : reply.contacts) message.add_contacts(contact->record);
  if (reply.record) message.set_value(reply.record->value);
  return message.SerializeAsString();
}

Result<ForeignRequest> read_request(std::uint16_t method, std::string_view body) {
  ForeignRequest result;
  DirectoryRequest& request = result.request;
  if (method == method::directory_ping) {
    TRY(auto message, parse<wire::DirectoryPing>(body, "directory ping"));
    request.kind = DirectoryRequest::Kind::ping;
    result.from = std::move(*message.mutable_from());
    return result;
  }
  if (method == method::directory_put) {
    TRY(auto message, parse<wire::DirectoryPut>(body, "directory put"));
    request.kind = DirectoryRequest::Kind::put;
    if (message.records_size() > static_cast<int>(records_per_put_max))
      return fail(Errc::invalid, "{} directory records in one put: at most {} are allowed",
                  message.records_size(), records_per_put_max);
    for (auto& item : *message.mutable_records()) {
      TRY(const RecordKey key, read_name(item.name()));
      result.values.emplace_back(key, std::move(*item.mutable_value()));
    }
    result.from = std::move(*message.mutable_from());
    return result;
  }
  TRY(auto message, parse<wire::DirectoryFind>(body, "directory question"));
  if (message.known_size() > static_cast<int>(known_per_request_max))
    return fail(Errc::invalid, "a directory question that knows {} servers: at most {} are allowed",
                message.known_size(), known_per_request_max);
  if (method == method::directory_get) {
    request.kind = DirectoryRequest::Kind::get;
    TRY(request.key, read_name(message.name()));
    request.target = record_position(request.key);
  } else {
    request.kind = DirectoryRequest::Kind::find;
    TRY(request.target, Position::from(message.target()));
  }
  request.contacts = std::min<std::size_t>(message.contacts(), contacts_per_reply_max);
  request.within = message.within();
  request.known.assign(message.known().begin(), message.known().end());
  std::ranges::sort(request.known);
  result.from = std::move(*message.mutable_from());
  return result;
}

Result<DirectoryReply> read_reply(const DirectoryRequest& request, std::string_view body,
                                  ContactJudge& judge, const RecordValidators& validators) {
  DirectoryReply reply;
  if (request.kind == DirectoryRequest::Kind::ping) return reply;
  if (request.kind == DirectoryRequest::Kind::put) {
    TRY(auto message, parse<wire::DirectoryStored>(body, "directory answer"));
    reply.stored = std::min<std::size_t>(message.stored(), request.records.size());
    return reply;
  }
  TRY(auto message, parse<wire::DirectoryFound>(body, "directory answer"));
  if (message.contacts_size() > static_cast<int>(request.contacts))
    return fail(Errc::invalid, "a directory answer of {} contacts, where {} were asked for",
                message.contacts_size(), request.contacts);
  for (const std::string& record : message.contacts()) {
    auto contact = judge.judge(as_bytes(record));
    if (contact) reply.contacts.push_back(std::move(*contact));
    // Whom to trust may be seen differently there. What proves nothing nobody honest passes on.
    else if (contact.error().code != Errc::denied) return fail(std::move(contact).error());
  }
  if (request.kind == DirectoryRequest::Kind::get && !message.value().empty()) {
    TRY(reply.record, validators.check(request.key, std::move(*message.mutable_value())));
  }
  return reply;
}

}  // namespace spatter
