//! What components look like: asked by tools that write values by the names of their fields.

use engine_component::schema::{Access, Schema};
use engine_net::messages::schemas::{SchemaPage, SchemasReply, SchemasRequest};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;

use super::Coordinator;

/// Bytes of a page, unless a single schema is larger.
const PAGE_BYTES: usize = 256 << 10;

impl Coordinator {
    pub(super) fn schemas_request(&mut self, reply: Option<&str>, payload: &[u8]) {
        let answer = match strict::decode::<SchemasRequest>(payload, SchemasRequest::LIMIT) {
            Ok(request) => Reply::Ok(self.schema_page(&request)),
            Err(error) => {
                self.figures.count("refused.bad_request");
                Reply::Error(Problem::new("bad_request", error))
            }
        };
        self.answer::<SchemasReply>(reply, &answer);
    }

    fn schema_page(&self, request: &SchemasRequest) -> SchemaPage {
        let wanted = |name: &str| request.after.as_deref().is_none_or(|after| name > after);
        let is_seen = |schema: &Schema| schema.access != Access::Private;
        let all = self.world.registry().iter();
        let mut known: Vec<_> = all.filter(|info| wanted(&info.schema.name) && is_seen(&info.schema)).collect();
        known.sort_unstable_by(|a, b| a.schema.name.cmp(&b.schema.name));
        let (mut page, mut bytes) = (SchemaPage::default(), 0);
        for info in known {
            bytes += strict::encode(&info.schema).len();
            if bytes > PAGE_BYTES.min(self.sizes.limit) && !page.schemas.is_empty() {
                page.next = page.schemas.last().map(|last| last.name.clone());
                break;
            }
            page.schemas.push(info.schema.clone());
        }
        page
    }
}
