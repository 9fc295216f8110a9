//! The anchors of spans: a span without an end for each task, sent again with every child that becomes final.
//!
//! What an anchor holds is stored before it is first sent ([`Identity`]), because an exported id never gets other contents.

use std::collections::HashSet;

use super::context::ResourceKey;
use super::exported::Identity;
use super::lineage::{self, Anchor};
use super::message::{Attributes, Link, Span};
use super::render::RenderContext;
use crate::model::error::Result;
use crate::model::ids::{self, Role, SpanId, TraceId};
use crate::model::semconv as names;
use crate::model::time::Millis;
use crate::model::timeline;
use crate::model::{TaskKey, TaskRecord};

/// An anchor: its trace, its resource and its span.
type Anchored = (TraceId, ResourceKey, Span);

/// How many anchors above one are followed.
const MOST: usize = 64;

impl RenderContext<'_> {
    /// The anchors of a final span: its task's and those above it, root first. They are re-sent unchanged. Those in
    /// `built` are left out, with all above them, because they were built together.
    pub(crate) fn anchors(
        &self,
        key: &TaskKey,
        at: Millis,
        part: u32,
        built: &mut HashSet<(TraceId, SpanId)>,
    ) -> Result<Vec<Anchored>> {
        let mut spans = Vec::new();
        let mut next = Some(key.clone());
        while let Some(key) = next.take().filter(|_| spans.len() < MOST) {
            let (Some(record), Some(anchor)) = (self.cache.record(&key)?, lineage::anchor(self.cache, &key, at)?)
            else {
                break;
            };
            let trace = anchor.trace(part);
            if !built.insert((trace, anchor.span)) {
                break;
            }
            let Some(identity) = self.fixed_identity(&key, &record, &anchor)? else { break };
            spans.push((trace, resource(&key, &identity), self.anchor(&key, &anchor, &identity, part)));
            next = anchor.parent.map(|(parent, _)| parent);
        }
        spans.reverse();
        Ok(spans)
    }

    fn anchor(&self, key: &TaskKey, anchor: &Anchor, identity: &Identity, part: u32) -> Span {
        let attributes = Attributes::new()
            .text(names::ROLE, Role::Anchor.as_str())
            .text(names::TASK_ID, &identity.key)
            .text(names::TASK_NATIVE_ID, &key.native_id)
            .text(names::TASK_TYPE, &identity.task_type)
            .maybe(names::TASK_TITLE, self.context.title(&identity.title))
            .moment(names::TASK_CREATED_AT, Some(identity.created));
        let name = self.context.label(&identity.key, &identity.title);
        Span {
            parent: anchor.parent.as_ref().map(|(_, span)| *span),
            attributes,
            links: links(key, anchor, part),
            ..Span::new(anchor.span, name, identity.created, identity.created)
        }
    }

    /// What a task's anchors hold, fixed with its first one. Fixes the anchor as well, if it is new.
    fn fixed_identity(&self, key: &TaskKey, record: &TaskRecord, anchor: &Anchor) -> Result<Option<Identity>> {
        let exported = self.cache.exported(key)?;
        if let Some(identity) = &exported.identity
            && exported.anchor(anchor.fixed.ordinal).is_some()
        {
            return Ok(Some(identity.clone()));
        }
        let Some((facts, created)) = timeline::first(&record.timeline) else { return Ok(None) };
        let new = || Identity {
            key: facts.key.clone(),
            title: facts.title.clone().into(),
            task_type: facts.task_type.as_str().to_owned(),
            project_id: self.context.project_id(&key.source, &facts.project),
            created,
        };
        let exported = self.cache.note_exported(key, |exported| {
            exported.identity.get_or_insert_with(new);
            exported.anchors.push(anchor.fixed.clone());
        })?;
        Ok(exported.identity.clone())
    }
}

/// Links to where the task was before it moved, and to the part of its root's history before this one.
fn links(key: &TaskKey, anchor: &Anchor, part: u32) -> Vec<Link> {
    let mut links = Vec::new();
    if let Some((root, span)) = &anchor.former {
        links.push(Link { trace: ids::history_trace(root, 1), span: *span, kind: "moved_from" });
    }
    if part > 1 && anchor.root == *key {
        links.push(Link { trace: ids::history_trace(key, part - 1), span: anchor.span, kind: "continues" });
    }
    links
}

fn resource(key: &TaskKey, identity: &Identity) -> ResourceKey {
    ResourceKey {
        project_id: identity.project_id.as_str().into(),
        source: key.source.as_str().into(),
        backfill: false,
        is_lasting: true,
    }
}
