//! Groups as expressions see them, and what makes a text of each member.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use crate::codes;
use crate::nearest;
use crate::objects::{Ctx, Fault, GROUP_FIELDS, Machine, SHARED_FIELDS, machine, one_text};
use crate::world::Target;

/// All members of a group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) ctx: Arc<Ctx>,
    pub(crate) decl: usize,
}

impl Group {
    fn member(&self, index: usize) -> Option<Target> {
        (index < self.ctx.world.decls[self.decl].len()).then_some(Target {
            decl: self.decl,
            member: u32::try_from(index).ok(),
        })
    }

    fn ask(&self, field: &str, port: Option<&str>) -> Result<Value, Fault> {
        if field == "names" {
            return Ok(self.ctx.world.decls[self.decl].names());
        }
        let Some((_, of_member)) = GROUP_FIELDS.iter().find(|(many, _)| *many == field) else {
            if SHARED_FIELDS.contains(&field) {
                return self.ctx.field(Target::whole(self.decl), field, port);
            }
            let known = GROUP_FIELDS.iter().map(|(many, _)| *many).chain(SHARED_FIELDS);
            return Err(Fault::new(
                codes::UNKNOWN_ATTRIBUTE,
                format!("the group `{}` has no `{field}`", self.ctx.world.decls[self.decl].name),
                nearest::did_you_mean(field, known),
            ));
        };
        let members = (0..).map_while(|index| self.member(index));
        members.map(|target| self.ctx.field(target, of_member, port)).collect()
    }
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Some(field) = key.as_str() {
            let value = self.ask(field, None);
            return Some(value.unwrap_or_else(|fault| Value::from(self.ctx.fail(fault))));
        }
        let target = self.member(usize::try_from(key.as_i64()?).ok()?)?;
        Some(machine(&self.ctx, target))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.ctx.world.decls[self.decl].len())
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        self.ask(method, one_text(args)?).map_err(|fault| self.ctx.fail(fault))
    }
}

/// The filter `each('{name}=http://{endpoint:peer}')`: a text for each machine of a list.
pub(crate) fn each(machines: &Value, format: &str) -> Result<Vec<Value>, Error> {
    let mut texts = Vec::new();
    for item in machines.try_iter()? {
        let Some(machine) = item.downcast_object_ref::<Machine>() else {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "`each` takes a list of machines",
            ));
        };
        texts.push(Value::from(one_of_each(machine, format)?));
    }
    Ok(texts)
}

fn one_of_each(machine: &Machine, format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let mut rest = format;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else {
            return Err(Error::new(ErrorKind::InvalidOperation, "a `{` in `each` is not closed"));
        };
        let (field, port) = match rest[open + 1..open + close].split_once(':') {
            Some((field, port)) => (field.trim(), Some(port.trim())),
            None => (rest[open + 1..open + close].trim(), None),
        };
        let value = machine
            .ctx
            .field(machine.target, field, port)
            .map_err(|fault| machine.ctx.fail(fault))?;
        text.push_str(&value.to_string());
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    Ok(text)
}
